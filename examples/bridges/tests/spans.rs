//! Spans of `tracing` around tasks.

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use loopline::{spawn, yield_now};
use support::block_on;
use tracing::Instrument;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_task_is_in_its_span_whenever_it_runs_and_no_other_is() {
    let log = Log::default();
    let writer = log.clone();
    let format = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    let subscriber = format.with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        block_on(async {
            let tasks = (1..=2).map(|number| {
                let work = async move {
                    for turn in 1..=2 {
                        tracing::info!(turn);
                        yield_now().await;
                    }
                };
                spawn(work.instrument(tracing::info_span!("client", number)))
            });
            for done in join_all(tasks).await {
                done.unwrap();
            }
            tracing::info!("outside");
        });
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "INFO client{number=1}: turn=1",
            "INFO client{number=2}: turn=1",
            "INFO client{number=1}: turn=2",
            "INFO client{number=2}: turn=2",
            "INFO outside",
        ]
    );
}
