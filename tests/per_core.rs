//! One loop on each of several threads: outputs in order, failures told to all, a graceful end.

mod support;

use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loopline::time::sleep;
use loopline::{PerCore, closing, per_core, spawn};
use support::nothing_left_here;

#[test]
fn each_core_has_a_loop_and_a_thread_of_its_own_and_outputs_come_in_order() {
    let together = Barrier::new(3);
    let outputs = per_core(3, |core| {
        // Only if all run at the same time does anybody get past this.
        together.wait();
        async move {
            assert_eq!(core.count(), 3);
            let task = spawn(async move { core.index() * 10 });
            let output = task.await.unwrap();
            nothing_left_here_but_the_limit();
            Ok(output)
        }
    });
    assert_eq!(outputs.unwrap(), [0, 10, 20]);
}

/// The helper of `per_core` that limits its end is a background item.
fn nothing_left_here_but_the_limit() {
    let stats = loopline::Handle::<()>::try_current().unwrap().stats();
    assert_eq!((stats.items, stats.timers, stats.registrations), (1, 0, 0));
}

#[test]
fn zero_is_as_many_as_the_machine_has() {
    let outputs = per_core(0, |core| async move { Ok(core.count()) }).unwrap();
    let machine = std::thread::available_parallelism().unwrap().get();
    assert_eq!(outputs, vec![machine; machine]);
}

#[test]
fn an_error_of_one_ends_all_and_is_returned() {
    let ended = AtomicUsize::new(0);
    let result = per_core(3, |core| {
        let ended = &ended;
        async move {
            if core.index() == 1 {
                return Err(io::Error::other("number one"));
            }
            closing().await;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    assert_eq!(result.unwrap_err().to_string(), "number one");
    assert_eq!(ended.into_inner(), 2);
}

#[test]
fn a_panic_of_one_ends_all_and_goes_on() {
    let ended = AtomicUsize::new(0);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        per_core(3, |core| {
            let ended = &ended;
            async move {
                assert_ne!(core.index(), 2, "number two");
                closing().await;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
    }));
    let text = result.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("number two"), "{text}");
    assert_eq!(ended.into_inner(), 2);
}

#[test]
fn close_reaches_all_cores_and_those_that_do_not_end_are_stopped() {
    let result = PerCore::new(2).grace(Duration::from_millis(1)).run(|core| async move {
        if core.index() == 0 {
            core.close();
            return Ok(());
        }
        std::future::pending().await
    });
    assert!(result.unwrap_err().to_string().contains("stopped"));
}

#[test]
fn tasks_have_the_grace_to_end_after_their_core_did() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let ended = &ENDED;
    per_core(2, |_core| async move {
        spawn(async move {
            closing().await;
            sleep(Duration::from_millis(1)).await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 2);
    // And none of it on a loop of this thread.
    support::block_on(async { nothing_left_here() });
}
