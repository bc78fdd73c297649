//! The command line of the programs: `on-NAME PEER CASE[:PARAMETER] [OPERATIONS] [--rounds N] [--once]`
//! prints a line for each round; `on-NAME PEER echo[:BUFFER]` serves until it is killed.
//!
//! `PEER` chooses among the flavours of one program (`tokio`, `tokio-localset`). `--once`: one round and
//! nothing before it, for counting instructions.

use crate::echo;
use crate::measure::Plan;
use crate::peer::Echo;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub peer: String,
    pub case: String,
    /// The number after the colon.
    pub parameter: usize,
    pub plan: Plan,
}

impl Asked {
    /// Reads the command line.
    pub fn read() -> Self {
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        let once = arguments.iter().any(|argument| argument == "--once");
        arguments.retain(|argument| argument != "--once");
        let mut rounds = 3;
        if let Some(at) = arguments.iter().position(|argument| argument == "--rounds") {
            rounds = arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or_else(|| usage());
            arguments.drain(at..at + 2);
        }
        let (Some(peer), Some(case)) = (arguments.first(), arguments.get(1)) else { usage() };
        let (case, parameter) = case.split_once(':').unwrap_or((case, "0"));
        let parse = |text: &str| text.parse().unwrap_or_else(|_| usage());
        let operations = arguments.get(2).map_or(100_000, |text| parse(text));
        Self {
            peer: peer.clone(),
            case: case.to_owned(),
            parameter: parse(parameter),
            plan: Plan { operations, rounds: if once { 1 } else { rounds }, once },
        }
    }

    /// Runs the echo server, if that is what was asked for.
    pub fn echo<E: Echo>(&self) -> bool {
        if self.case != "echo" {
            return false;
        }
        let buffer = if self.parameter == 0 { 4_096 } else { self.parameter };
        if let Err(error) = echo::serve::<E>(buffer) {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
        true
    }

    /// Ends the program if nothing of it knew the case.
    pub fn known(&self, handled: bool) {
        if !handled {
            eprintln!("{} has no case {}", self.peer, self.case);
            std::process::exit(3);
        }
    }
}

fn usage() -> ! {
    eprintln!("usage: on-NAME PEER CASE[:PARAMETER] [OPERATIONS] [--rounds N] [--once]");
    std::process::exit(2)
}
