//! A supervisor.
fn main() {}
