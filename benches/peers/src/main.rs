//! `peers CASE PEER [OPERATIONS] [--once]`: runs one case on one peer, and prints a line for each round:
//! nanoseconds of CPU time per operation (wall time for `foreign_wake_busy`, bytes for `parked_memory`).
//! `peers echo PEER` serves; `peers load ADDRESS CONNECTIONS REQUESTS [PAUSE_US|churn|-] [SERVER_PID] [http]`
//! asks, and prints requests, wall ns per request and the server's CPU ns per request.
//! `--once`: one round and nothing before it, for counting instructions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use peers::channel::{self, LocalChannel, LocalSync, Ours, Tokio};
use peers::load::Load;
use peers::measure::{Plan, resident};
use peers::peer::{
    Calloop, INSTRUCTIONS, Loopline, Monoio, Peer, Smol, TokioLocalRuntime, TokioLocalSet,
};
use peers::{echo, foreign, task};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.iter().any(|argument| argument == "--once");
    arguments.retain(|argument| argument != "--once");
    INSTRUCTIONS.store(once, Ordering::Relaxed);
    let mut arguments = arguments.into_iter();
    let case = arguments.next().unwrap_or_else(|| usage());
    let peer = arguments.next().unwrap_or_else(|| usage());
    match case.as_str() {
        "echo" => return finish(echo::serve(&peer)),
        "load" => return finish(load(&peer, arguments.collect()).run()),
        _ => {}
    }
    let number = arguments.next().map(|number| number.parse().unwrap_or_else(|_| usage()));
    if case.starts_with("channel_") || case.starts_with("oneshot") {
        return channels(&case, &peer, number, once);
    }
    match peer.as_str() {
        "loopline" => run::<Loopline>(&case, number, once),
        "tokio" => run::<TokioLocalRuntime>(&case, number, once),
        "tokio-localset" => run::<TokioLocalSet>(&case, number, once),
        "monoio" => run::<Monoio>(&case, number, once),
        "smol" => run::<Smol>(&case, number, once),
        "calloop" => run::<Calloop>(&case, number, once),
        _ => usage(),
    }
}

fn finish(result: std::io::Result<()>) {
    if let Err(error) = result {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn load(address: &str, arguments: Vec<String>) -> Load {
    let number = |n: usize| -> usize {
        arguments.get(n).and_then(|number| number.parse().ok()).unwrap_or_else(|| usage())
    };
    let how = arguments.get(2).map_or("-", String::as_str);
    Load {
        address: address.parse().unwrap_or_else(|_| usage()),
        connections: number(0),
        requests: number(1),
        pause: how.parse().ok().map(Duration::from_micros),
        churn: how == "churn",
        http: arguments.get(4).is_some_and(|kind| kind == "http"),
        server: arguments.get(3).and_then(|pid| pid.parse().ok()),
    }
}

fn run<P: Peer>(case: &str, number: Option<usize>, once: bool) {
    let operations = number.unwrap_or(200_000);
    let plan = Plan { operations, rounds: if once { 1 } else { 5 }, warm: !once };
    match case {
        "spawn_join_one" => task::spawn_join_one::<P>(plan),
        "spawn_join_1000" => task::spawn_join_1000::<P>(plan),
        "detached" => task::detached::<P>(plan),
        "yield" => task::yield_one::<P>(plan),
        "yield_1000" => task::yield_1000::<P>(plan),
        "pingpong" => task::pingpong::<P>(plan, true),
        "pingpong_take" => task::pingpong::<P>(plan, false),
        "sleep" => task::sleep::<P>(plan),
        "sleep_earliest" => task::sleep_earliest::<P>(plan),
        "foreign_wake_busy" => foreign::wake_busy::<P>(plan),
        "parked_rss" => task::parked_memory::<P>(number.unwrap_or(100_000), false, resident),
        _ => usage(),
    }
}

/// The other libraries' channels run on our loop, so that nothing but the channel differs.
fn channels(case: &str, peer: &str, number: Option<usize>, once: bool) {
    let operations = number.unwrap_or(200_000);
    let plan = Plan { operations, rounds: if once { 1 } else { 5 }, warm: !once };
    match (case, peer) {
        ("channel_unbounded", "local-channel") => {
            channel::unbounded::<Loopline, LocalChannel>(plan);
        }
        (_, "loopline") => channels_of::<Loopline, Ours>(case, plan),
        (_, "tokio") => channels_of::<TokioLocalRuntime, Tokio>(case, plan),
        (_, "tokio-localset") => channels_of::<TokioLocalSet, Tokio>(case, plan),
        (_, "tokio-on-loopline") => channels_of::<Loopline, Tokio>(case, plan),
        (_, "local-sync") => channels_of::<Loopline, LocalSync>(case, plan),
        _ => usage(),
    }
}

fn channels_of<P: Peer, C>(case: &str, plan: Plan)
where
    C: channel::Channels + channel::Unbounded + channel::Oneshot,
{
    match case {
        "channel_1" => channel::bounded::<P, C>(plan, 1),
        "channel_64" => channel::bounded::<P, C>(plan, 64),
        "channel_unbounded" => channel::unbounded::<P, C>(plan),
        "oneshot" => channel::oneshot::<P, C>(plan),
        "oneshot_request" => channel::request::<P, C>(plan),
        "oneshot_alone" => channel::oneshot_alone::<P, C>(plan),
        _ => usage(),
    }
}

fn usage() -> ! {
    eprintln!("usage: peers CASE PEER [OPERATIONS] [--once]");
    std::process::exit(2)
}
