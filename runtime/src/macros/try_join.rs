//! `try_join!`.

/// Awaits several futures of `Result`s at once: until all have ended well, or the first with an error.
///
/// Gives `Ok` with a tuple of what they ended with, or the `Err` of the one that failed first; then the
/// others are dropped. So all have the same type of error. Otherwise as [`join!`](crate::join), with
/// `biased;` too.
///
/// # Cancel safety
///
/// Partial: outputs of those that had ended are lost; the others are dropped where they are.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::try_join;
/// use std::future::pending;
///
/// async fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// assert_eq!(try_join!(parse("1"), parse("2")), Ok((1, 2)));
/// assert!(try_join!(parse("one"), pending::<Result<(), _>>()).is_err());
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    // Everything is in order. $order is who says which is polled first.
    (@ $order:ident [($count:tt $($_names:ident)*) $($_free:tt)*] {$(
        ($index:tt $_variant:ident $local:ident) $future:expr;
    )+}) => {{
        $(let mut $local = $crate::__private::pin!($crate::__private::branch($future));)+
        let mut rotation = $crate::__private::$order::default();
        $crate::__private::poll_fn(move |cx| {
            $crate::__private::ready!($crate::__private::poll_budget(cx));
            let mut pending = false;
            let first: u32 = rotation.turn($count);
            for next in 0_u32..$count {
                match $crate::__private::round(first, next, $count) {
                    $($index => {
                        if $crate::__private::Future::poll($local.as_mut(), cx).is_pending() {
                            pending = true;
                        }
                        if let $crate::__private::Some(failure) = $local.as_mut().take_failure() {
                            return $crate::__private::Poll::Ready(failure);
                        }
                    })+
                    _ => $crate::__private::unreachable!("there are as many branches as counted"),
                }
            }
            if pending {
                return $crate::__private::Poll::Pending;
            }
            // Where an output has no values.
            #[allow(unreachable_code)]
            $crate::__private::Poll::Ready($crate::__private::Ok(($($local.as_mut().take_success(),)+)))
        })
        .await
    }};

    (@ $order:ident [($count:tt)] $done:tt $($rest:tt)+) => {
        $crate::__private::compile_error!("try_join! takes 64 futures at most: spawn into a JoinSet instead")
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $future:expr, $($rest:tt)*) => {
        $crate::try_join!(@ $order [$($free)+] {$($done)* $slot $future;} $($rest)*)
    };

    // What users write.
    ($(biased;)?) => {
        async { $crate::__private::Ok(()) }.await
    };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::try_join!(@ FirstAlways [
            (0 B0 b0) (1 B1 b1) (2 B2 b2) (3 B3 b3) (4 B4 b4) (5 B5 b5) (6 B6 b6) (7 B7 b7)
            (8 B8 b8) (9 B9 b9) (10 B10 b10) (11 B11 b11) (12 B12 b12) (13 B13 b13) (14 B14 b14)
            (15 B15 b15) (16 B16 b16) (17 B17 b17) (18 B18 b18) (19 B19 b19) (20 B20 b20)
            (21 B21 b21) (22 B22 b22) (23 B23 b23) (24 B24 b24) (25 B25 b25) (26 B26 b26)
            (27 B27 b27) (28 B28 b28) (29 B29 b29) (30 B30 b30) (31 B31 b31) (32 B32 b32)
            (33 B33 b33) (34 B34 b34) (35 B35 b35) (36 B36 b36) (37 B37 b37) (38 B38 b38)
            (39 B39 b39) (40 B40 b40) (41 B41 b41) (42 B42 b42) (43 B43 b43) (44 B44 b44)
            (45 B45 b45) (46 B46 b46) (47 B47 b47) (48 B48 b48) (49 B49 b49) (50 B50 b50)
            (51 B51 b51) (52 B52 b52) (53 B53 b53) (54 B54 b54) (55 B55 b55) (56 B56 b56)
            (57 B57 b57) (58 B58 b58) (59 B59 b59) (60 B60 b60) (61 B61 b61) (62 B62 b62)
            (63 B63 b63) (64)
        ] {} $($future,)+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::try_join!(@ FairTurns [
            (0 B0 b0) (1 B1 b1) (2 B2 b2) (3 B3 b3) (4 B4 b4) (5 B5 b5) (6 B6 b6) (7 B7 b7)
            (8 B8 b8) (9 B9 b9) (10 B10 b10) (11 B11 b11) (12 B12 b12) (13 B13 b13) (14 B14 b14)
            (15 B15 b15) (16 B16 b16) (17 B17 b17) (18 B18 b18) (19 B19 b19) (20 B20 b20)
            (21 B21 b21) (22 B22 b22) (23 B23 b23) (24 B24 b24) (25 B25 b25) (26 B26 b26)
            (27 B27 b27) (28 B28 b28) (29 B29 b29) (30 B30 b30) (31 B31 b31) (32 B32 b32)
            (33 B33 b33) (34 B34 b34) (35 B35 b35) (36 B36 b36) (37 B37 b37) (38 B38 b38)
            (39 B39 b39) (40 B40 b40) (41 B41 b41) (42 B42 b42) (43 B43 b43) (44 B44 b44)
            (45 B45 b45) (46 B46 b46) (47 B47 b47) (48 B48 b48) (49 B49 b49) (50 B50 b50)
            (51 B51 b51) (52 B52 b52) (53 B53 b53) (54 B54 b54) (55 B55 b55) (56 B56 b56)
            (57 B57 b57) (58 B58 b58) (59 B59 b59) (60 B60 b60) (61 B61 b61) (62 B62 b62)
            (63 B63 b63) (64)
        ] {} $($future,)+)
    };
}
