//! Inotify as a source.
#![cfg(target_os = "linux")]

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use loopline::callback::Next;
use loopline::io::{FdSource, Interest, Trigger};
use loopline::time::sleep;
use support::{closes_clean, event_loop};

// contract 16
#[test]
fn changes_of_files_are_told_though_the_library_empties_its_descriptor_itself() {
    let folder = std::env::temp_dir().join(format!("loopline-inotify-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let mut event_loop = event_loop::<Vec<String>>();
    let watch = Inotify::init().unwrap();
    watch.watches().add(&folder, WatchMask::CREATE | WatchMask::DELETE).unwrap();
    let source = FdSource::with_trigger(watch, Interest::READABLE, Trigger::Foreign);
    let hosted = event_loop.handle().insert(source, |event, source, seen: &mut Vec<String>| {
        event.unwrap();
        // Room for one event: what is left is told again.
        let mut buffer = [0; 48];
        match source.get_mut().read_events(&mut buffer) {
            Ok(events) => seen.extend(events.map(|event| format!("{:?}", event.mask))),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        if seen.len() == 4 { Next::Stop } else { Next::Keep }
    });
    let (near, path) = (folder.clone(), folder.join("file"));
    event_loop.handle().spawn(async move {
        for _ in 0..2 {
            fs::write(&path, b"").unwrap();
            fs::remove_file(&path).unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        fs::remove_dir(near).unwrap();
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    let pair = ["EventMask(CREATE)", "EventMask(DELETE)"];
    assert_eq!(seen, [pair, pair].concat());
    drop(hosted);
    closes_clean(event_loop);
}
