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
                let mut pending = false;
                $crate::__each_branch!(cx, $crate::__private::$order($count), $count, {
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
                });
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
        $crate::__with_branch_names!(select (@ first_branch) $($branches)+)
    };
    (biased;) => {
        $crate::__private::compile_error!("select! needs at least one branch")
    };
    ($($branches:tt)+) => {
        $crate::__with_branch_names!(select (@ any_branch) $($branches)+)
    };
}
