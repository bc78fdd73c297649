//! `join!` and `try_join!`: all outputs in place, each future polled to its end and no further, fair.

mod support;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loopline::callback::channel;
use loopline::task::budget::{has_budget_remaining, poll_proceed};
use loopline::task::consume_budget;
use loopline::time::{now, sleep};
use loopline::{join, spawn, try_join, yield_now};
use support::{block_on, block_on_paused, built, closes_clean, scaled};

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn outputs_stand_where_their_futures_stood() {
    block_on_paused(async {
        let started = now();
        let after = |seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            seconds
        };
        assert_eq!(join!(after(3), after(1), ready("two"), after(2)), (3, 1, "two", 2));
        assert_eq!(now() - started, Duration::from_secs(3), "at once, not one after the other");
        assert_eq!(join!(biased; after(1), after(2),), (1, 2));
        assert_eq!(join!(ready(1)), (1,));
        let (): () = join!();
        let (): () = join!(biased;);
        assert_eq!(try_join!(async { Ok::<_, ()>(1) }, ready(Ok("a"))), Ok((1, "a")));
        assert_eq!(try_join!(biased; ready(Ok::<_, ()>(1)),), Ok((1,)));
        let nothing: Result<(), ()> = try_join!();
        assert_eq!(nothing, Ok(()));
    });
}

macro_rules! all_of_64 {
    ($($n:tt)*) => { join!($(ready($n)),*) };
}

#[test]
fn sixty_four_are_joined() {
    block_on(async {
        let all = all_of_64!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        assert_eq!((all.0, all.31, all.63), (0, 31, 63));
    });
}

/// A future that says its name at each poll and ends at the nth.
fn named(log: &RefCell<Vec<char>>, name: char, mut left: u32) -> impl Future<Output = char> {
    poll_fn(move |_| {
        log.borrow_mut().push(name);
        left = left.checked_sub(1).expect("not polled after its end");
        if left == 0 { Poll::Ready(name) } else { Poll::Pending }
    })
}

fn polls_of(biased: bool) -> String {
    let log = RefCell::new(Vec::new());
    let (a, b, c) = (named(&log, 'a', 4), named(&log, 'b', 4), named(&log, 'c', 2));
    let mut joining: Pin<Box<dyn Future<Output = _>>> = match biased {
        true => Box::pin(async { join!(biased; a, b, c) }),
        false => Box::pin(async { join!(a, b, c) }),
    };
    while joining.as_mut().poll(&mut noop()).is_pending() {
        log.borrow_mut().push(' ');
    }
    drop(joining);
    log.into_inner().into_iter().collect()
}

#[test]
fn each_poll_begins_with_the_next_unless_biased() {
    assert_eq!(polls_of(false), "abc bca ab ab");
    assert_eq!(polls_of(true), "abc abc ab ab");
}

// contract 27
#[test]
fn branches_that_use_up_the_budget_share_it() {
    async fn greedy(most: &Cell<usize>, least: &Cell<usize>, own: &Cell<usize>) {
        for _ in 0..12_800 {
            consume_budget().await;
            own.set(own.get() + 1);
            most.set(most.get().max(own.get()));
            assert!(most.get() - own.get() <= 3 * 128, "left behind");
        }
        least.set(own.get());
    }
    block_on(async {
        let [most, least, a, b, c] = [0; 5].map(Cell::new);
        join!(greedy(&most, &least, &a), greedy(&most, &least, &b), greedy(&most, &least, &c));
        assert_eq!((a.get(), b.get(), c.get()), (12_800, 12_800, 12_800));
    });
}

// contract 27
#[test]
fn no_branch_is_polled_when_the_budget_is_used_up() {
    block_on(async {
        let polls = Cell::new(0);
        let count = || {
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                Poll::<Result<(), ()>>::Pending
            })
        };
        let mut joining = pin!(async { join!(count(), count()) });
        let mut trying = pin!(async { try_join!(count(), count()) });
        yield_now().await;
        while has_budget_remaining() {
            let Poll::Ready(permit) = poll_proceed(&mut noop()) else { unreachable!() };
            permit.spend();
        }
        assert!(joining.as_mut().poll(&mut noop()).is_pending());
        assert!(trying.as_mut().poll(&mut noop()).is_pending());
        assert_eq!(polls.get(), 0);
        yield_now().await;
        assert!(joining.as_mut().poll(&mut noop()).is_pending());
        assert!(trying.as_mut().poll(&mut noop()).is_pending());
        assert_eq!(polls.get(), 4);
    });
}

/// Says that it was dropped.
struct Tell<'a>(&'a Cell<u32>);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn the_first_error_ends_a_try_join_and_drops_the_others() {
    block_on_paused(async {
        let dropped = Cell::new(0);
        let wait = |seconds, result: Result<u32, &'static str>| {
            let tell = Tell(&dropped);
            async move {
                let _tell = tell;
                sleep(Duration::from_secs(seconds)).await;
                result
            }
        };
        let started = now();
        let result = try_join!(wait(5, Err("late")), wait(1, Ok(1)), wait(2, Err("first")));
        assert_eq!((result, dropped.get()), (Err("first"), 3));
        assert_eq!(now() - started, Duration::from_secs(2));
        assert_eq!(try_join!(wait(1, Ok(1)), wait(2, Ok(2))), Ok((1, 2)));
        // Each has its own type of value, all one of error.
        let mixed = try_join!(ready(Ok::<_, String>(1)), async { Err::<(), _>(String::from("e")) });
        assert_eq!(mixed.unwrap_err(), "e");
    });
}

#[test]
fn outputs_without_values_are_fine() {
    block_on(async {
        let never: Result<(u32,), Infallible> = try_join!(async { Ok(5) });
        assert_eq!(never, Ok((5,)));
        let none: Result<(Infallible, u32), u32> =
            try_join!(pending::<Result<Infallible, u32>>(), async { Err::<u32, _>(6) });
        assert_eq!(none, Err(6));
        let mut joining = pin!(async { join!(pending::<Infallible>(), ready(1)) });
        assert!(joining.as_mut().poll(&mut noop()).is_pending());
    });
}

#[test]
fn futures_and_outputs_are_dropped_once_when_a_branch_panics_or_the_join_is_dropped() {
    block_on(async {
        let dropped = Rc::new(Cell::new(0));
        struct Count(Rc<Cell<u32>>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        for panics in [true, false] {
            dropped.set(0);
            let [one, two, three] = [(); 3].map(|()| Count(dropped.clone()));
            let task = spawn(AssertUnwindSafe(async move {
                join!(
                    async { one },
                    async {
                        let _two = two;
                        pending::<()>().await;
                    },
                    async {
                        let _three = three;
                        yield_now().await;
                        assert!(!panics, "on purpose");
                        pending::<()>().await;
                    },
                );
            }));
            yield_now().await;
            yield_now().await;
            yield_now().await;
            assert_eq!(task.is_finished(), panics);
            assert_eq!(task.cancel().await.unwrap_err().is_panic(), panics);
            assert_eq!(dropped.get(), 3);
        }
    });
}

// contract 40
#[test]
fn dropped_at_any_poll_it_loses_no_message_that_was_not_taken() {
    block_on(async {
        for polls in 0..4 {
            let ((sender, mut one), (other_sender, mut other)) = (channel(), channel());
            let taken = Cell::new(0);
            let take = |message: Option<()>| taken.set(taken.get() + message.into_iter().count());
            {
                let mut joining = pin!(async {
                    join!(async { take(one.next().await) }, async { take(other.next().await) },)
                });
                for poll in 0..polls {
                    assert_eq!(joining.as_mut().poll(&mut noop()).is_ready(), poll == 2);
                    match poll {
                        0 => sender.send(()).unwrap(),
                        1 => other_sender.send(()).unwrap(),
                        _ => break,
                    }
                }
            }
            sender.send(()).unwrap();
            other_sender.send(()).unwrap();
            let rest = std::iter::from_fn(|| one.try_next().or_else(|| other.try_next())).count();
            let sent = 2 + polls.min(2);
            assert_eq!(rest + taken.get(), sent, "{polls} polls");
        }
    });
}

#[test]
fn a_join_that_wakes_itself_lets_others_run() {
    let mut event_loop = built::<()>(|set| set.operations_per_poll(4));
    let handle = event_loop.handle();
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    let other = handle.spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    let many = scaled(1000);
    event_loop
        .block_on(async {
            let consume = || async {
                for _ in 0..many {
                    consume_budget().await;
                }
            };
            join!(consume(), consume());
        })
        .unwrap();
    assert!(turns.get() >= 2 * many / 4 - 1);
    other.cancel();
    closes_clean(event_loop);
}
