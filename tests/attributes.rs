//! `#[loopline::main]` and `#[loopline::test]`, as their users write them.

mod support;

use std::time::{Duration, Instant};

use loopline::time::{self, sleep};
use support::nothing_left_here;

/// As if the crate had been renamed or were re-exported by another.
mod renamed {
    pub(crate) mod inner {
        pub(crate) use ::loopline::*;
    }
}

#[loopline::test]
async fn a_test_runs_on_a_loop_of_its_own() {
    loopline::spawn(async {}).await.unwrap();
    nothing_left_here();
}

#[loopline::test]
async fn a_test_may_return_a_result() -> std::io::Result<()> {
    let listener = loopline::net::TcpListener::bind("127.0.0.1:0").await?;
    listener.local_addr()?;
    nothing_left_here();
    Ok(())
}

#[loopline::test]
#[should_panic(expected = "as it should")]
async fn a_test_may_panic_as_it_should() {
    panic!("as it should");
}

// contract 47
#[loopline::test(start_paused)]
async fn a_test_may_start_with_a_paused_clock() {
    let (began, start) = (Instant::now(), time::now());
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(time::now() - start, Duration::from_secs(86_400));
    assert!(began.elapsed() < Duration::from_secs(60));
    nothing_left_here();
}

#[loopline::test(start_paused = true, shuffle = 1, crate = renamed::inner)]
async fn options_may_be_combined() {
    sleep(Duration::from_secs(1)).await;
    nothing_left_here();
}

#[loopline::test(crate = self::renamed::inner)]
async fn the_crate_may_be_found_elsewhere() {
    sleep(Duration::ZERO).await;
    nothing_left_here();
}

#[loopline::main]
async fn answer() -> u32 {
    sleep(Duration::from_millis(1)).await;
    nothing_left_here();
    42
}

#[loopline::main(crate = renamed::inner)]
async fn renamed_answer() -> Result<u32, String> {
    let answer = answer_of_a_task().await;
    nothing_left_here();
    Ok(answer)
}

async fn answer_of_a_task() -> u32 {
    loopline::spawn(async { 43 }).await.unwrap()
}

#[test]
fn main_on_another_function_makes_a_loop_for_each_call() {
    assert_eq!(answer(), 42);
    assert_eq!(answer(), 42);
    assert_eq!(renamed_answer(), Ok(43));
}

// contract 28
#[loopline::test]
#[should_panic(expected = "an event loop runs on this thread already")]
async fn block_on_inside_a_task_is_a_clear_error() {
    loopline::block_on(async {});
}
