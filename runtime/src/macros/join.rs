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
    // Everything is in order. $order is who says which is polled first, $kind what their ends mean.
    (@ $kind:ident $order:ident [($count:tt $($_names:ident)*) $($_free:tt)*] {$(
        ($index:tt $_variant:ident $local:ident) $future:expr;
    )+}) => {{
        $(let mut $local = $crate::__private::pin!($crate::__private::branch($future));)+
        let mut rotation = $crate::__private::$order::default();
        $crate::__private::poll_fn(move |cx| {
            let mut pending = false;
            $crate::__each_branch!(cx, rotation.turn($count), $count, {
                $($index => {
                    if $crate::__private::Future::poll($local.as_mut(), cx).is_pending() {
                        pending = true;
                    }
                    $crate::join!(@ended $kind $local);
                })+
            });
            if pending {
                return $crate::__private::Poll::Pending;
            }
            // Where an output has no values.
            #[allow(unreachable_code)]
            $crate::__private::Poll::Ready($crate::join!(@outputs $kind $($local)+))
        })
        .await
    }};

    (@ended all $local:ident) => {};
    (@ended ok $local:ident) => {
        if let $crate::__private::Some(failure) = $local.as_mut().take_failure() {
            return $crate::__private::Poll::Ready(failure);
        }
    };
    (@outputs all $($local:ident)+) => {
        ($($local.as_mut().take(),)+)
    };
    (@outputs ok $($local:ident)+) => {
        $crate::__private::Ok(($($local.as_mut().take_success(),)+))
    };

    (@ all $order:ident [($count:tt)] $done:tt $($rest:tt)+) => {
        $crate::__private::compile_error!("join! takes 64 futures at most: spawn into a JoinSet instead")
    };
    (@ ok $order:ident [($count:tt)] $done:tt $($rest:tt)+) => {
        $crate::__private::compile_error!("try_join! takes 64 futures at most: spawn into a JoinSet instead")
    };
    (@ $kind:ident $order:ident [$slot:tt $($free:tt)+] {$($done:tt)*} $future:expr, $($rest:tt)*) => {
        $crate::join!(@ $kind $order [$($free)+] {$($done)* $slot $future;} $($rest)*)
    };

    // What users write.
    ($(biased;)?) => {
        async {}.await
    };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::__with_branch_names!(join (@ all FirstAlways) $($future,)+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__with_branch_names!(join (@ all FairTurns) $($future,)+)
    };
}
