//! Where a descriptor cannot stand for a whole loop, the tests' loops do their waiting themselves.

use loopline::RunError;

use super::TestLoop;

pub fn run_as_guests() -> bool {
    false
}

#[track_caller]
pub fn run<S>(guard: &mut TestLoop<S>, state: &mut S) -> Result<(), RunError> {
    (**guard).run(state)
}

#[track_caller]
pub fn run_until<S, F: Future>(
    guard: &mut TestLoop<S>,
    state: &mut S,
    future: F,
) -> Result<F::Output, RunError> {
    (**guard).run_until(state, future)
}
