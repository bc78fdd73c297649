//! An output that nobody reads.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopline::spawn;
use loopline::time::sleep;

use crate::bystanders::{bystanders_were_served, quiet};
use crate::tools::soon;

/// Standard output is a pipe that nobody reads: only who writes to it waits.
pub async fn output_nobody_reads() -> String {
    let stdout = loopline::io::stdout();
    let written = Rc::new(Cell::new(0));
    let writer = spawn({
        let written = written.clone();
        async move {
            loop {
                let Ok(n) = stdout.write(&[b'.'; 4096]).await else { return };
                written.set(written.get() + n);
            }
        }
    });
    sleep(Duration::from_millis(100)).await;
    let before = written.get();
    quiet(Duration::from_millis(500)).await;
    assert_eq!(written.get(), before, "a full pipe takes no more");
    assert!(!writer.is_finished(), "it waits");
    drop(soon(writer.cancel()).await);
    eprintln!("measured: full after {before} bytes; {}", bystanders_were_served());
    // Nothing can be said by the pipe.
    std::process::exit(0)
}
