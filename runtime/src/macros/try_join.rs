//! `try_join!`, which is `join!` with an end at the first error.

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
    ($(biased;)?) => {
        async { $crate::__private::Ok(()) }.await
    };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::__with_branch_names!(join (@ ok FirstAlways) $($future,)+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__with_branch_names!(join (@ ok FairTurns) $($future,)+)
    };
}
