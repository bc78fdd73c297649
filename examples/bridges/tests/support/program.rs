//! A program of this package as a process of its own.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running server; killed when dropped.
pub struct Program {
    child: Child,
    output: RefCell<BufReader<ChildStdout>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// Starts a program and waits until it tells where it listens.
    pub fn start(path: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(path);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address =
            line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        let address = address.parse().unwrap();
        Self { child, output: RefCell::new(output), address }
    }

    /// Returns the next lines that it prints.
    pub fn lines(&self, count: usize) -> Vec<String> {
        let mut output = self.output.borrow_mut();
        let lines = (0..count).map(|_| {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        });
        lines.collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
