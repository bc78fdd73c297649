//! `select!`: the first that ends and matches; fair, repeatable, within the budget; nothing is lost.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::callback::channel;
use loopline::sync::Semaphore;
use loopline::task::budget::{has_budget_remaining, poll_proceed};
use loopline::time::sleep;
use loopline::{select, spawn, yield_now};
use support::{block_on, block_on_paused, closes_clean, scaled, seeded};

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn the_first_that_ends_has_its_handler_run() {
    block_on_paused(async {
        let got = select! {
            n = async { sleep(Duration::from_secs(2)).await; 2 } => n * 10,
            n = async { sleep(Duration::from_secs(1)).await; 1 } => n * 10
        };
        assert_eq!(got, 10);
        // With blocks, with and without commas, and a type of one's own.
        let text = select! {
            _ = pending::<()>() => String::new(),
            () = ready(()), if false => { String::new() }
            () = ready(()) => { String::from("ready") },
            _ = pending::<()>(), if true => unreachable!(),
        };
        assert_eq!(text, "ready");
    });
}

#[test]
fn a_pattern_that_does_not_match_ends_its_branch() {
    block_on(async {
        let polls = Cell::new(0);
        let mut none = pin!(poll_fn(|_| {
            polls.set(polls.get() + 1);
            assert_eq!(polls.get(), 1, "polled after its end");
            Poll::Ready(None::<u32>)
        }));
        let got = select! {
            biased;
            Some(n) = &mut none => n,
            n = async { yield_now().await; yield_now().await; 7 } => n,
        };
        assert_eq!((got, polls.get()), (7, 1));
        let nothing = select! {
            Some(n) = ready(None::<u32>) => n,
            Ok::<u32, ()>(n) = ready(Err(())) => n,
            else => 9,
        };
        assert_eq!(nothing, 9);
    });
}

/// Not Copy, not Clone.
#[derive(Debug, PartialEq)]
struct Owned(u32);

#[test]
fn every_kind_of_pattern_is_taken() {
    const FIVE: u32 = 5;
    block_on(async {
        let shared = 5;
        assert_eq!(select! { mut x = ready(Owned(1)) => { x.0 += 1; x } }, Owned(2));
        assert_eq!(select! { Some(mut x) = ready(Some(Owned(1))) => { x.0 += 2; x } }, Owned(3));
        assert_eq!(select! { Owned(ref x) = ready(Owned(4)) => *x }, 4);
        assert!(
            select! { Some(ref mut x) = ready(Some(Owned(5))) => { x.0 = 6; x.0 == 6 } else => false }
        );
        assert_eq!(select! { Some(&x) = ready(Some(&shared)) => x, else => 0 }, 5);
        assert_eq!(select! { &x = ready(&shared) => x }, 5);
        assert_eq!(select! { x @ 1..=9 = ready(5) => x, else => 0 }, 5);
        assert_eq!(select! { 1 | 3 = ready(2) => 1, 4.. = ready(2) => 2, else => 3 }, 3);
        assert_eq!(select! { FIVE = ready(5) => 1, else => 2 }, 1);
        assert_eq!(select! { (Owned(a), Owned(b)) = ready((Owned(1), Owned(2))) => a + b }, 3);
        assert_eq!(select! { _ = ready(Owned(1)) => 1 }, 1);
        assert_eq!(select! { Ok(Owned(x)) | Err(x) = async { Err::<Owned, _>(8) } => x }, 8);
    });
}

async fn first_error(mut texts: VecDeque<&str>) -> Result<u32, std::num::ParseIntError> {
    let mut sum = 0;
    loop {
        select! {
            text = ready(texts.pop_front()) => match text {
                None => break,
                Some("skip") => continue,
                Some("stop") => return Ok(1000),
                Some(text) => {
                    yield_now().await;
                    sum += text.parse::<u32>()?;
                }
            },
        }
    }
    Ok(sum)
}

#[test]
fn handlers_use_await_question_mark_break_continue_and_return() {
    block_on(async {
        assert_eq!(first_error(["1", "skip", "2"].into()).await, Ok(3));
        assert_eq!(first_error(["1", "stop", "2"].into()).await, Ok(1000));
        assert!(first_error(["1", "two"].into()).await.is_err());
    });
}

#[test]
fn futures_are_gone_before_a_handler_runs() {
    block_on(async {
        let mut number = 1;
        let log = RefCell::new(Vec::new());
        struct Tell<'a>(&'a RefCell<Vec<u32>>, u32);
        impl Drop for Tell<'_> {
            fn drop(&mut self) {
                self.0.borrow_mut().push(self.1);
            }
        }
        async fn wait(tell: Tell<'_>, number: &mut u32, ends: bool) {
            if !ends {
                pending::<()>().await;
            }
            *number += tell.1;
        }
        let mut other = 0;
        select! {
            () = wait(Tell(&log, 1), &mut number, true) => {
                number += 10;
                log.borrow_mut().push(9);
            }
            () = wait(Tell(&log, 2), &mut other, false) => unreachable!(),
        }
        assert_eq!(number, 12);
        assert_eq!(log.borrow().last(), Some(&9));
        assert_eq!(log.borrow().len(), 3);
    });
}

#[test]
fn conditions_come_first_then_all_futures_and_then_polls() {
    block_on(async {
        let log = RefCell::new(Vec::new());
        let say = |what| {
            log.borrow_mut().push(what);
            true
        };
        select! {
            biased;
            () = { say("future 1"); poll_fn(|_| { say("poll 1"); Poll::Ready(()) }) }, if !say("if 1") => unreachable!(),
            () = { say("future 2"); poll_fn(|_| { say("poll 2"); Poll::Ready(()) }) }, if say("if 2") => {}
        }
        assert_eq!(log.take(), ["if 1", "if 2", "future 1", "future 2", "poll 2"]);
    });
}

#[test]
fn temporaries_of_a_future_live_as_long_as_it_does() {
    block_on(async {
        let n = select! {
            n = &mut Box::pin(async { yield_now().await; 5 }) => n,
        };
        assert_eq!(n, 5);
        let texts = Rc::new(RefCell::new(vec![1]));
        select! { n = ready(texts.borrow().len()) => texts.borrow_mut().push(n) }
        assert_eq!(*texts.borrow(), [1, 1]);
    });
}

#[test]
#[should_panic(expected = "all branches of a select! are disabled and it has no else branch")]
fn no_branch_left_and_no_else_is_a_panic() {
    block_on(async {
        select! { Some(()) = ready(None) => {} () = ready(()), if false => {} }
    });
}

#[test]
fn with_biased_the_order_is_as_written() {
    block_on(async {
        for _ in 0..1000 {
            let first = select! { biased; _ = pending::<()>() => 0, _ = ready(()) => 1, _ = ready(()) => 2 };
            assert_eq!(first, 1);
        }
    });
}

macro_rules! one_of_64 {
    ($($n:tt)*) => { select! { $(n = ready($n) => n,)* } };
}

async fn any_of_64() -> usize {
    one_of_64!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
}

async fn any_of_3() -> usize {
    select! { () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 }
}

/// Whether all were chosen about as often: within six standard deviations.
#[track_caller]
fn assert_even(counts: &[usize]) {
    let each = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    for count in counts {
        assert!((*count as f64 - each).abs() < 6.0 * each.sqrt(), "{counts:?}");
    }
}

async fn assert_fair() {
    let (mut counts, mut pairs) = ([0; 64], [0; 9]);
    for _ in 0..scaled(64_000) {
        counts[any_of_64().await] += 1;
        // One inside a loop with another: no pair is preferred.
        pairs[any_of_3().await * 3 + any_of_3().await] += 1;
    }
    assert_even(&counts);
    assert_even(&pairs);
}

#[test]
fn each_branch_comes_first_as_often_as_the_others() {
    block_on(assert_fair());
    let mut event_loop = seeded::<()>(17);
    event_loop.block_on(assert_fair()).unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_seed_repeats_the_choices() {
    let run = |seed| {
        let mut event_loop = seeded::<()>(seed);
        let mut chosen = Vec::new();
        event_loop
            .block_on(async {
                for _ in 0..100 {
                    chosen.push(any_of_64().await);
                }
            })
            .unwrap();
        closes_clean(event_loop);
        chosen
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn it_works_without_a_loop() {
    let mut first = [0; 3];
    for _ in 0..300 {
        let mut any = pin!(any_of_3());
        let Poll::Ready(n) = any.as_mut().poll(&mut noop()) else { panic!("all are ready") };
        first[n] += 1;
    }
    assert_even(&first);
}

// contract 27
#[test]
fn no_branch_is_polled_when_the_budget_is_used_up() {
    block_on(async {
        yield_now().await;
        let polls = Cell::new(0);
        let mut selecting = pin!(async {
            select! { () = poll_fn(|_| { polls.set(polls.get() + 1); Poll::<()>::Pending }) => {} }
        });
        while has_budget_remaining() {
            let Poll::Ready(permit) = poll_proceed(&mut noop()) else { unreachable!() };
            permit.spend();
        }
        assert!(selecting.as_mut().poll(&mut noop()).is_pending());
        assert_eq!(polls.get(), 0);
        yield_now().await;
        assert!(selecting.as_mut().poll(&mut noop()).is_pending());
        assert_eq!(polls.get(), 1);
    });
}

// contract 27
#[test]
fn a_loop_of_branches_that_are_always_ready_lets_others_run() {
    block_on(async {
        let (sender, mut numbers) = channel();
        let permits = Semaphore::new(usize::MAX >> 4);
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        let other = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let many = scaled(100_000);
        (0..many).try_for_each(|n| sender.send(n)).unwrap();
        drop(sender);
        let mut received = 0;
        loop {
            select! {
                Some(n) = numbers.next() => {
                    assert_eq!(n, received);
                    received += 1;
                }
                permit = permits.acquire(), if received < many => permit.unwrap().forget(),
                else => break,
            }
        }
        // More than half of the operations are messages; the seed decides how many exactly.
        assert!(turns.get() >= many / 128, "{} turns", turns.get());
        other.cancel();
    });
}

/// A future that is ready with a value at its nth poll.
struct After(u32, Option<u32>);

impl Future for After {
    type Output = Option<u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        if self.0 == 0 {
            return Poll::Ready(self.1);
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The next number below `n` of a small generator.
fn below(state: &mut u64, n: u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 16) % u64::from(n)) as u32
}

#[test]
fn it_chooses_as_a_plain_list_of_branches_says() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let mut random = seed.unwrap_or(0x2545_f491_u64) | 1;
    println!("seed {random}");
    block_on(async {
        for _ in 0..scaled(100_000) {
            let branches = [0; 3].map(|_| {
                let matches = below(&mut random, 3) != 0;
                let takes_part = below(&mut random, 4) != 0;
                (below(&mut random, 4), matches, takes_part)
            });
            let [a, b, c] = branches.map(|(polls, matches, _)| After(polls, matches.then_some(1)));
            let part = branches.map(|(_, _, takes_part)| takes_part);
            let ends = branches.iter().filter(|(_, matches, part)| *matches && *part);
            let soonest = ends.map(|(polls, ..)| *polls).min();
            let biased = below(&mut random, 2) == 0;
            let chosen = match biased {
                true => select! {
                    biased;
                    Some(_) = a, if part[0] => Some(0),
                    Some(_) = b, if part[1] => Some(1),
                    Some(_) = c, if part[2] => Some(2),
                    else => None,
                },
                false => select! {
                    Some(_) = a, if part[0] => Some(0),
                    Some(_) = b, if part[1] => Some(1),
                    Some(_) = c, if part[2] => Some(2),
                    else => None,
                },
            };
            let is_it = |n: usize| branches[n].1 && part[n] && Some(branches[n].0) == soonest;
            match chosen {
                None => assert_eq!(soonest, None),
                Some(n) if biased => assert_eq!(Some(n), (0..3).find(|n| is_it(*n))),
                Some(n) => assert!(is_it(n), "{branches:?}: {n}"),
            }
        }
    });
}

#[test]
fn dropped_at_any_poll_it_has_lost_no_message_and_no_permit() {
    block_on(async {
        let (sender, mut messages) = channel();
        let permits = Rc::new(Semaphore::new(0));
        let (mut sent, mut received, mut acquired, mut given) = (0_u32, 0, 0, 0);
        for round in 0..scaled(10_000) as u32 {
            let mut selecting = pin!(async {
                select! {
                    Some(n) = messages.next() => {
                        assert_eq!(n, received, "in order, none lost");
                        received += 1;
                    }
                    permit = permits.acquire() => {
                        permit.unwrap().forget();
                        acquired += 1;
                    }
                }
            });
            let polls = round % 4;
            for poll in 0..polls {
                if selecting.as_mut().poll(&mut noop()).is_ready() {
                    break;
                }
                match (round + poll) % 3 {
                    0 => {
                        sender.send(sent).unwrap();
                        sent += 1;
                    }
                    1 => {
                        permits.add_permits(1);
                        given += 1;
                    }
                    _ => {}
                }
            }
            yield_now().await;
        }
        let left = std::iter::from_fn(|| messages.try_next()).count() as u32;
        assert_eq!(received + left, sent);
        assert_eq!(acquired + permits.available_permits(), given);
        assert!(received > 0 && acquired > 0);
    });
}
