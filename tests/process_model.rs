//! Children against a plain model: who waits, gives up, looks, kills and drops in any order; every
//! status is the one that the child ended with, and none is left behind.
#![cfg(target_os = "linux")] // /proc

#[path = "support/net.rs"]
mod net;
mod support;

use std::future::Future;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use loopline::process::{Child, ChildStdin, Command};
use loopline::time::sleep;
use loopline::{Handle, JoinHandle, spawn};
use net::{is_alone, poll_once, soon};
use support::{block_on, scaled};

/// Random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

type Wait = Pin<Box<dyn Future<Output = std::io::Result<ExitStatus>>>>;

/// A child that ends with its number when its input ends, and what it was told.
struct Modelled {
    child: Rc<Child>,
    stdin: Option<ChildStdin>,
    code: i32,
    killed: bool,
    /// Waits that are polled by hand.
    waits: Vec<Wait>,
    /// Waits that are tasks.
    tasks: Vec<JoinHandle<std::io::Result<ExitStatus>>>,
}

impl Modelled {
    fn new(code: i32) -> Self {
        let script = format!("read x; exit {code}");
        let mut command = Command::new("sh");
        let command = command.args(["-c", &script]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        Self { child, stdin, code, killed: false, waits: Vec::new(), tasks: Vec::new() }
    }

    fn wait(&self) -> Wait {
        let child = self.child.clone();
        Box::pin(async move { child.wait().await })
    }

    fn check(&self, status: ExitStatus) {
        assert!(self.killed || self.stdin.is_none(), "{} lives", self.code);
        match status.code() {
            Some(code) => assert_eq!(code, self.code),
            None => assert!(self.killed, "nobody killed {}", self.code),
        }
    }

    /// One thing that may happen to it.
    async fn step(&mut self, random: &mut Random) {
        match random.below(9) {
            0 => self.waits.push(self.wait()),
            1 => self.tasks.push(spawn(self.wait())),
            2 | 3 if !self.waits.is_empty() => {
                let n = random.below(self.waits.len());
                if let std::task::Poll::Ready(status) = poll_once(&mut self.waits[n]).await {
                    self.check(status.unwrap());
                    drop(self.waits.swap_remove(n));
                }
            }
            4 if !self.waits.is_empty() => {
                drop(self.waits.swap_remove(random.below(self.waits.len())));
            }
            5 if !self.tasks.is_empty() => {
                let task = self.tasks.swap_remove(random.below(self.tasks.len()));
                drop(task.cancel());
            }
            6 => {
                if let Some(status) = self.child.try_wait().unwrap() {
                    self.check(status);
                    assert_eq!(self.child.id(), None);
                }
            }
            7 => drop(self.stdin.take()),
            8 if random.below(3) == 0 => {
                self.child.start_kill().unwrap();
                self.killed = true;
            }
            _ => {}
        }
    }

    /// Its end, as all who wait see it.
    async fn end(mut self) {
        drop(self.stdin.take());
        for wait in std::mem::take(&mut self.waits) {
            self.check(soon(wait).await.unwrap());
        }
        for task in std::mem::take(&mut self.tasks) {
            self.check(soon(task).await.unwrap().unwrap());
        }
        self.check(soon(self.child.wait()).await.unwrap());
    }
}

// contract 55
#[test]
fn random_lives_of_children_end_as_a_model_says() {
    if !is_alone("random_lives_of_children_end_as_a_model_says") {
        return;
    }
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(0x5EED_0055);
    println!("seed {seed}");
    let mut random = Random(seed.max(1));
    block_on(async {
        let mut all: Vec<Modelled> = Vec::new();
        for n in 0..scaled(4000) {
            let one = random.below(all.len().max(1));
            match random.below(20) {
                0 if all.len() < 20 => all.push(Modelled::new(n as i32 % 100)),
                1 if !all.is_empty() => all.swap_remove(one).end().await,
                // Dropped: alive or dead, with those who wait. The child goes with the last.
                2 if !all.is_empty() => drop(all.swap_remove(one)),
                3 => sleep(Duration::from_millis(1)).await,
                4 => loopline::yield_now().await,
                _ if !all.is_empty() => all[one].step(&mut random).await,
                _ => {}
            }
        }
        for one in all {
            one.end().await;
        }
        // The dropped ones end too, and are reaped.
        soon(async {
            while Handle::<()>::try_current().unwrap().stats().items > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    });
    let left = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(left, "", "children are left");
}
