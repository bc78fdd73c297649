//! Lookups with a resolver that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver as Told, Sender as Tell, channel};
use std::time::{Duration, Instant};

use loopline_runtime::time::{now, sleep, timeout};
use loopline_runtime::{Clock, EventLoop, block_on, yield_now};

use super::*;

/// Closed gates, each by the name whose lookup stops at it.
static GATES: Mutex<Vec<(String, Told<()>)>> = Mutex::new(Vec::new());
static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Blocks at the gate of that name, if there is one, until it is opened.
fn gated(host: &str, port: u16) -> io::Result<Addrs> {
    ASKED.lock().unwrap().push(host.to_owned());
    let gate = {
        let mut gates = GATES.lock().unwrap();
        let found = gates.iter().position(|(name, _)| name == host);
        found.map(|n| gates.swap_remove(n).1)
    };
    if let Some(gate) = gate {
        let _ = gate.recv();
    }
    Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
}

/// Closes the gate of a name until the sender is dropped.
fn gate(name: &str) -> Tell<()> {
    let (open, gate) = channel();
    GATES.lock().unwrap().push((name.to_owned(), gate));
    open
}

fn was_asked(name: &str) -> bool {
    ASKED.lock().unwrap().iter().any(|asked| asked == name)
}

fn looked_up(crew: &Crew, host: &'static str) -> impl Future<Output = io::Result<Addrs>> + use<> {
    let addrs = crew.submit(host.to_owned(), 80).unwrap();
    wait(addrs, host)
}

// contract 51; fault 14
#[test]
fn a_stuck_lookup_holds_up_neither_the_loop_nor_its_end() {
    let crew = Crew::new(gated);
    let open = gate("stuck.one");
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let began = Instant::now();
    event_loop
        .block_on(async {
            let stuck = timeout(Duration::from_millis(20), looked_up(&crew, "stuck.one"));
            let ticks = async {
                for _ in 0..10 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            let (stuck, ()) = loopline_runtime::join!(stuck, ticks);
            assert!(stuck.is_err(), "answered: {stuck:?}");
        })
        .unwrap();
    drop(event_loop);
    // The gate is closed still: nothing above waited for the thread.
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(lock(&crew.shared).threads, 1);
    drop(open);
}

// contract 51
#[test]
fn four_are_looked_up_at_once_and_the_fifth_waits_in_line() {
    let crew = Crew::new(gated);
    let names = ["four.0", "four.1", "four.2", "four.3"];
    let open: Vec<_> = names.iter().map(|name| gate(name)).collect();
    block_on(async {
        let waiting: Vec<_> = names.map(|name| looked_up(&crew, name)).into_iter().collect();
        let dropped = looked_up(&crew, "four.dropped");
        let fifth = looked_up(&crew, "four.4");
        while !names.iter().all(|name| was_asked(name)) {
            yield_now().await;
        }
        {
            let state = lock(&crew.shared);
            assert_eq!((state.threads, state.jobs.len()), (4, 2));
        }
        drop(dropped);
        drop(open);
        assert_eq!(fifth.await.unwrap().len(), 1);
        for addrs in waiting {
            assert_eq!(addrs.await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        }
    });
    assert!(!was_asked("four.dropped"), "nobody waited for it any more");
}

#[test]
fn threads_end_when_the_line_is_empty_and_new_ones_are_started() {
    let crew = Crew::new(gated);
    block_on(async {
        for _ in 0..3 {
            looked_up(&crew, "again").await.unwrap();
            while lock(&crew.shared).threads != 0 {
                yield_now().await;
            }
        }
    });
}

// contract 47
#[test]
fn a_paused_clock_waits_for_a_lookup() {
    let crew = Crew::new(gated);
    let open = gate("held");
    let mut event_loop = EventLoop::<()>::builder().clock(Clock::Paused).build().unwrap();
    event_loop
        .block_on(async {
            let started = now();
            let opener = async {
                yield_now().await;
                drop(open);
            };
            let addrs = timeout(Duration::from_secs(1), looked_up(&crew, "held"));
            let (addrs, ()) = loopline_runtime::join!(addrs, opener);
            assert_eq!(addrs.unwrap().unwrap().len(), 1);
            assert_eq!(now(), started);
        })
        .unwrap();
}

#[test]
fn a_resolver_that_panics_or_finds_nothing_is_an_error_and_the_next_lookup_works() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let crew = Crew::new(|_, _| match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("on purpose"),
        1 => Ok(Addrs::new()),
        _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))]),
    });
    block_on(async {
        let kinds = [io::ErrorKind::Other, io::ErrorKind::NotFound];
        for kind in kinds {
            assert_eq!(looked_up(&crew, "x").await.unwrap_err().kind(), kind);
        }
        assert_eq!(looked_up(&crew, "x").await.unwrap().len(), 1);
    });
}
