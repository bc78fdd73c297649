//! `select!`.

/// Awaits several futures at once, and goes on with the first that ends; the others are dropped.
///
/// ```text
/// select! {
///     biased;                                          // optional
///     <pattern> = <future> (, if <condition>)? => <handler>,
///     ...
///     else => <handler>                                // optional
/// }
/// ```
///
/// A branch takes part if its condition holds, or it has none. The future that ends first and whose
/// output matches its pattern has its handler run, after all futures were dropped: so a handler may use
/// what they borrowed, may await, and may say `?`, `break` or `return` to the code around the macro. Its
/// value is that of the `select!`. A branch whose output does not match its pattern takes no further
/// part. If none is left the `else` handler runs; without one that is a panic.
///
/// Conditions and future expressions are all evaluated, in this order, before anything is polled; also
/// the future of a branch whose condition does not hold, which is then never polled. To go on with a
/// future in the next round of a loop, pin it outside and give `&mut future`.
///
/// Which branch is polled first is chosen anew for each poll, each as often as the others, and by the
/// seed if the loop has one. With `biased;` it is always the order in which they are written: cheaper,
/// and then the order has to be right; a branch that is always ready starves those behind it.
///
/// Up to 64 branches. Only the future that ends and those it has to wait for cost anything: for a number
/// that is not known beforehand use [`JoinSet`](crate::JoinSet).
///
/// # Panics
///
/// If no branch is left and there is no `else`.
///
/// # Cancel safety
///
/// That of its futures: all but the one that ended are dropped where they are. Each future of this crate
/// says what that loses; in a loop, use those that are Strict.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{select, time::sleep};
/// use std::time::Duration;
///
/// let first = select! {
///     () = sleep(Duration::from_millis(1)) => "short",
///     () = sleep(Duration::from_secs(60)) => "long",
/// };
/// assert_eq!(first, "short");
/// # });
/// ```
///
/// Messages until none is left, and a limit that is not set anew with each:
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_runtime::{callback::channel, select, time::sleep};
/// use std::{pin::pin, time::Duration};
///
/// let (sender, mut messages) = channel();
/// (0..3).try_for_each(|n| sender.send(n)).unwrap();
/// drop(sender);
/// let mut limit = pin!(sleep(Duration::from_secs(60)));
/// let mut sum = 0;
/// loop {
///     select! {
///         Some(n) = messages.next() => sum += n,
///         () = &mut limit, if sum < 100 => break,
///         else => break,
///     }
///     # if sum == 3 { break }
/// }
/// assert_eq!(sum, 3);
/// # });
/// ```
///
/// Without a branch there is nothing to wait for:
///
/// ```compile_fail
/// # loopline_runtime::block_on(async {
/// loopline_runtime::select! {}; // "select! needs at least one branch"
/// # });
/// ```
///
/// What is no branch is said to be none:
///
/// ```compile_fail
/// # loopline_runtime::block_on(async {
/// loopline_runtime::select! { async { 5 } => {} }; // no pattern
/// # });
/// ```
///
/// ```
/// # loopline_runtime::block_on(async {
/// loopline_runtime::select! { _ = async { 5 } => {} };
/// # });
/// ```
#[macro_export]
macro_rules! select {
    // Everything is in order. $order is a function of this crate that says which branch is first.
    (@run $order:ident $count:tt {$(
        ($index:tt $variant:ident $local:ident) $pattern:pat = $future:expr, [$($condition:expr)?] => $handler:expr;
    )+} $else:expr) => {{
        #[allow(non_camel_case_types, clippy::all)]
        enum __LooplineSelected<$($variant),+> {
            $($variant($variant),)+
            Else,
        }
        let mut disabled: u64 = 0;
        $($(
            if !$condition {
                disabled |= 1_u64 << $index;
            }
        )?)+
        // A block of its own: the futures are gone before a handler runs.
        let mut output = {
            // First as they are, so that temporaries in them live long enough.
            $(let $local = $future;)+
            $(let mut $local = $crate::__private::pin!($crate::__private::IntoFuture::into_future($local));)+
            $crate::__private::poll_fn(move |cx| {
                $crate::__private::ready!($crate::__private::poll_budget(cx));
                let mut pending = false;
                let first: u32 = $crate::__private::$order($count);
                for next in 0_u32..$count {
                    match $crate::__private::round(first, next, $count) {
                        $($index => {
                            if disabled & (1_u64 << $index) != 0 {
                                continue;
                            }
                            #[allow(unused_mut)]
                            let mut output = match $crate::__private::Future::poll($local.as_mut(), cx) {
                                $crate::__private::Poll::Ready(output) => output,
                                $crate::__private::Poll::Pending => {
                                    pending = true;
                                    continue;
                                }
                            };
                            disabled |= 1_u64 << $index;
                            // Whether it would match. The guard says no in any case, so nothing is
                            // moved out of it yet, whatever the pattern binds.
                            #[allow(unused_mut, unused_assignments)]
                            let mut matches = false;
                            #[allow(unreachable_code, unreachable_patterns, unused_variables, unused_mut, clippy::all)]
                            match output {
                                $pattern if {
                                    matches = true;
                                    false
                                } => $crate::__private::unreachable!(),
                                _ => {}
                            }
                            if matches {
                                return $crate::__private::Poll::Ready(__LooplineSelected::$variant(output));
                            }
                        })+
                        _ => $crate::__private::unreachable!("there are as many branches as counted"),
                    }
                }
                if pending {
                    $crate::__private::Poll::Pending
                } else {
                    $crate::__private::Poll::Ready(__LooplineSelected::Else)
                }
            })
            .await
        };
        match output {
            $(__LooplineSelected::$variant($pattern) => $handler,)+
            __LooplineSelected::Else => $else,
            #[allow(unreachable_patterns)]
            _ => $crate::__private::unreachable!("it matched before"),
        }
    }};

    // The end: an `else` or none.
    (@ $order:ident [($count:tt $($_names:ident)*) $($_free:tt)*] {$($done:tt)+}) => {
        $crate::select!(@run $order $count {$($done)+}
            $crate::__private::panic!("all branches of a select! are disabled and it has no else branch"))
    };
    (@ $order:ident [($count:tt $($_names:ident)*) $($_free:tt)*] {$($done:tt)+} else => $else:expr $(,)?) => {
        $crate::select!(@run $order $count {$($done)+} $else)
    };

    // One branch: with a condition or not, and with a handler that is a block, the last, or neither.
    (@ $order:ident [($count:tt)] $done:tt $($rest:tt)+) => {
        $crate::__private::compile_error!("select! takes 64 branches at most: spawn into a JoinSet instead")
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr, if $condition:expr => $handler:block, $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [$condition] => $handler;} $($rest)*)
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr => $handler:block, $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [] => $handler;} $($rest)*)
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr, if $condition:expr => $handler:block $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [$condition] => $handler;} $($rest)*)
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr => $handler:block $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [] => $handler;} $($rest)*)
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr, if $condition:expr => $handler:expr) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [$condition] => $handler;})
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr => $handler:expr) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [] => $handler;})
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr, if $condition:expr => $handler:expr, $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [$condition] => $handler;} $($rest)*)
    };
    (@ $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $pattern:pat = $future:expr => $handler:expr, $($rest:tt)*) => {
        $crate::select!(@ $order [$($free)+] {$($done)* $slot $pattern = $future, [] => $handler;} $($rest)*)
    };
    (@ $($_other:tt)*) => {
        $crate::__private::compile_error!(
            "a branch of select! is `pattern = future, if condition => handler,`, the condition may be left out; the last may be `else => handler`"
        )
    };

    // What users write.
    () => {
        $crate::__private::compile_error!("select! needs at least one branch")
    };
    ($(biased;)? else => $else:expr $(,)?) => {{ $else }};
    (biased; $($branches:tt)+) => {
        $crate::select!(@ first_branch [
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
        ] {} $($branches)+)
    };
    (biased;) => {
        $crate::__private::compile_error!("select! needs at least one branch")
    };
    ($($branches:tt)+) => {
        $crate::select!(@ any_branch [
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
        ] {} $($branches)+)
    };
}
