//! `tail -f`: prints what is appended to a file, told of it by inotify, whose descriptor is awaited like
//! any other.
//!
//! ```text
//! cargo run --features fd --example tail -- /var/log/syslog
//! ```
//!
//! It ends when the file is removed or moved away.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[cfg(target_os = "linux")]
use loopline::io::{Async, Interest, Stdout, Trigger, stdout};
#[cfg(target_os = "linux")]
use rustix::{fs::inotify, io::Errno};

#[cfg(target_os = "linux")]
#[loopline::main]
async fn main() -> io::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err(io::Error::other("which file? cargo run --features fd --example tail -- FILE"));
    };
    // Watched before it is read, so that nothing is missed between.
    let watch = watch(Path::new(&path))?;
    let mut file = File::open(&path)?;
    file.seek(SeekFrom::End(-i64::try_from(file.metadata()?.len().min(1024)).unwrap_or(0)))?;

    // inotify's own library reads the descriptor, and does not tell us when it is empty.
    let ready = Async::with_trigger(&watch, Interest::READABLE, Trigger::Foreign)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let output = stdout();
    loop {
        print_news(&mut file, &output).await?;
        // Its last name was removed. It is there as long as we have it open.
        if file.metadata()?.nlink() == 0 {
            return Ok(());
        }
        ready.readable().await?.retain_ready();
        loop {
            match events.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::MOVE_SELF) => {
                    return print_news(&mut file, &output).await;
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Prints from where the last print ended. A file that has become shorter is read from its beginning.
#[cfg(target_os = "linux")]
async fn print_news(file: &mut File, output: &Stdout) -> io::Result<()> {
    if file.metadata()?.len() < file.stream_position()? {
        file.rewind()?;
    }
    let mut buf = [0; 16 * 1024];
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(()),
            // Whoever reads this slowly keeps only this task waiting.
            n => output.write_all(&buf[..n]).await?,
        }
    }
}

#[cfg(target_os = "linux")]
fn watch(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    // A name that is removed changes the attributes.
    let changes = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, path, changes | inotify::WatchFlags::MOVE_SELF)?;
    Ok(watch)
}

/// inotify is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
