//! `join!`.

/// Awaits several futures at once until all have ended, and gives their outputs as a tuple.
///
/// They are polled by the task that awaits this, not side by side with it: spawn what shall go on by
/// itself, and await the handles here. Each poll begins with the next of them in turn, so that one which
/// uses up the budget does not starve the others; with `biased;` in front, always with the first.
///
/// Up to 64 futures. See [`JoinSet`](crate::JoinSet) for a number that is not known beforehand.
///
/// # Cancel safety
///
/// Partial: outputs of those that had ended are lost; the others are dropped where they are.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{join, time::sleep};
/// use std::time::Duration;
///
/// let name = async {
///     sleep(Duration::from_millis(1)).await;
///     "name"
/// };
/// assert_eq!(join!(name, async { 5 }), ("name", 5));
/// # });
/// ```
///
/// It awaits, so it stands in async code only:
///
/// ```compile_fail,E0728
/// loopline_runtime::join!(async { 1 }, async { 2 });
/// ```
#[macro_export]
macro_rules! join {
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
                    })+
                    _ => $crate::__private::unreachable!("there are as many branches as counted"),
                }
            }
            if pending {
                return $crate::__private::Poll::Pending;
            }
            // Where an output has no values.
            #[allow(unreachable_code)]
            $crate::__private::Poll::Ready(($($local.as_mut().take(),)+))
        })
        .await
    }};

    (@ $order:ident [($count:tt)] $done:tt $($rest:tt)+) => {
        $crate::__private::compile_error!("join! takes 64 futures at most: spawn into a JoinSet instead")
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $future:expr, $($rest:tt)*) => {
        $crate::join!(@ $order [$($free)+] {$($done)* $slot $future;} $($rest)*)
    };

    // What users write.
    ($(biased;)?) => {
        async {}.await
    };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::join!(@ FirstAlways [
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
        $crate::join!(@ FairTurns [
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
