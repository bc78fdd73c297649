//! Who lives on the loop beside each fault, an echo pair and a 10 ms timer, and what is asserted for all: that
//! they are served, that nothing spins, and that nothing is left.

use std::cell::RefCell;
use std::future::Future;
use std::time::{Duration, Instant};

use loopline::net::UnixStream;
use loopline::time::sleep;
use loopline::{EventLoop, Handle};

/// Runs a check beside the bystanders; asserts what holds for all.
pub fn check(body: impl Future<Output = String>) {
    let descriptors = descriptors();
    let mut event_loop = EventLoop::<()>::new().expect("a loop");
    let bystanders = event_loop.handle().spawn(bystanders());
    let said = event_loop.block_on(async {
        sleep(Duration::from_millis(150)).await;
        let said = body.await;
        drop(bystanders.cancel());
        said
    });
    let said = said.expect("a run to the end");
    let stats = event_loop.handle().stats();
    assert_eq!((stats.items, stats.timers, stats.registrations), (0, 0, 0), "left on the loop");
    drop(event_loop);
    assert_eq!(self::descriptors(), descriptors, "descriptors left");
    println!("measured: {said}; {}", bystanders_were_served());
}

thread_local! {
    /// How late the timer was, how long an echo took, in seconds.
    static SEEN: RefCell<(Vec<f64>, Vec<f64>)> = RefCell::default();
}

async fn bystanders() {
    let (one, other) = UnixStream::pair().expect("a pair");
    let echo = async {
        let mut buf = [0; 16];
        while let Ok(n @ 1..) = other.read(&mut buf).await {
            other.write_all(&buf[..n]).await.expect("an echo");
        }
    };
    let ask = async {
        loop {
            let began = Instant::now();
            sleep(Duration::from_millis(10)).await;
            let late = began.elapsed() - Duration::from_millis(10);
            let began = Instant::now();
            one.write_all(b"anybody?").await.expect("a question");
            one.read_exact(&mut [0; 8]).await.expect("an answer");
            SEEN.with_borrow_mut(|seen| {
                seen.0.push(late.as_secs_f64());
                seen.1.push(began.elapsed().as_secs_f64());
            });
        }
    };
    futures::join!(echo, ask);
}

fn worst_percent(seen: &mut [f64]) -> f64 {
    assert!(seen.len() >= 4, "the bystanders were held up: {} rounds", seen.len());
    seen.sort_by(f64::total_cmp);
    seen[(seen.len() * 99 / 100).min(seen.len() - 1)]
}

/// How the bystanders fared, which must be well: the machine may be busy, a loop that was held up shows as far
/// more.
pub fn bystanders_were_served() -> String {
    SEEN.with_borrow_mut(|(late, echo)| {
        let (late, echo) = (worst_percent(late), worst_percent(echo));
        assert!(late < 0.25 && echo < 0.25, "bystanders: timer {late:.3} s late, echo {echo:.3} s");
        format!("bystanders' p99 {:.1} and {:.1} ms", late * 1e3, echo * 1e3)
    })
}

/// Waits while nothing can proceed, and asserts that nothing is done meanwhile but what bystanders do.
pub async fn quiet(time: Duration) {
    let handle = Handle::<()>::try_current().expect("a loop that runs");
    let (turns, cpu, began) = (handle.stats().turns, cpu(), Instant::now());
    sleep(time).await;
    let (turns, cpu, took) = (handle.stats().turns - turns, self::cpu() - cpu, began.elapsed());
    // Some four turns each 10 ms for the bystanders, and as many again.
    let most = took.as_millis() as u64 * 8 / 10 + 50;
    assert!(turns <= most, "{turns} turns in {took:?} while nothing could proceed");
    let share = cpu.as_secs_f64() / took.as_secs_f64();
    assert!(share < 0.05 + 0.02 / took.as_secs_f64(), "spins: {:.0} % CPU", share * 100.0);
}

pub fn cpu() -> Duration {
    // SAFETY: fills a live struct of plain data.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    let libc::rusage { ru_utime, ru_stime, .. } = usage;
    time(ru_utime) + time(ru_stime)
}

pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

pub fn registrations() -> usize {
    Handle::<()>::try_current().expect("a loop that runs").stats().registrations
}
