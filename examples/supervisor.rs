//! A supervisor: keeps commands running, starts those that end again, after a pause that grows with each
//! failure. SIGTERM or Ctrl-C asks them to end; a second one kills them; a third is the system's.
//!
//! ```text
//! cargo run --features process --example supervisor -- 'sleep 2; exit 1' 'cat /dev/zero | wc -c'
//! ```
#![cfg_attr(not(unix), allow(unused))]

use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use loopline::process::{Child, Command};
#[cfg(unix)]
use loopline::signal::{SignalKind, signals};
use loopline::task::CancellationToken;
use loopline::time::sleep;

/// The pause after a first failure, and the longest. Who ran that long is well again.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(unix)]
#[loopline::main]
async fn main() -> io::Result<()> {
    let commands: Vec<String> = std::env::args().skip(1).collect();
    // First: a signal from here on is not missed.
    let mut asked = signals([SignalKind::terminate(), SignalKind::interrupt()])?;
    let (end, kill) = (CancellationToken::new(), CancellationToken::new());
    let kept: Vec<_> = commands
        .into_iter()
        .map(|command| loopline::spawn(keep(command, end.clone(), kill.clone())))
        .collect();
    println!("keeping {} commands; Ctrl-C ends", kept.len());

    let signals = loopline::spawn(async move {
        asked.recv().await;
        println!("asking all to end; Ctrl-C again kills");
        end.cancel();
        asked.recv().await;
        println!("killing all");
        asked.give_back();
        kill.cancel();
    });
    for command in kept {
        command.await?;
    }
    drop(signals.cancel());
    println!("all have ended");
    Ok(())
}

/// Keeps one command running until it is asked to end.
#[cfg(unix)]
async fn keep(command: String, end: CancellationToken, kill: CancellationToken) {
    let mut pause = FIRST;
    while !end.is_cancelled() {
        let began = Instant::now();
        // A group of its own: Ctrl-C of the terminal is for the supervisor alone.
        let mut started = Command::new("sh");
        started.args(["-c", &command]).process_group(0).kill_on_drop(true);
        match started.spawn() {
            Ok(child) => {
                println!("`{command}` runs as {:?}", child.id());
                match run(&child, &end, &kill).await {
                    Ok(status) => println!("`{command}` ended: {status}"),
                    Err(error) => println!("`{command}`: {error}"),
                }
            }
            Err(error) => println!("`{command}` does not start: {error}"),
        }
        if began.elapsed() > LONGEST {
            pause = FIRST;
        }
        // Asked to end, it sleeps no longer.
        end.run_until_cancelled(sleep(pause)).await;
        pause = LONGEST.min(pause * 2);
    }
}

/// Waits for a child, and passes on what it is asked.
#[cfg(unix)]
async fn run(
    child: &Child,
    end: &CancellationToken,
    kill: &CancellationToken,
) -> io::Result<std::process::ExitStatus> {
    if let Some(status) = end.run_until_cancelled(child.wait()).await {
        return status;
    }
    child.send_signal(SignalKind::terminate())?;
    if let Some(status) = kill.run_until_cancelled(child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

/// Children are on Unix only, so far.
#[cfg(not(unix))]
fn main() {}
