//! Files: the calls of std::fs, one open file, and what becomes of bytes that were accepted.

mod support;

use std::io::{ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use futures::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, StreamExt};
use loopline::fs::{self, File, OpenOptions};
use loopline::spawn_blocking;
use loopline::time::{now, timeout};
use support::{block_on, block_on_paused, built, closes_clean, ends_with_items, event_loop};

/// A directory of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("loopline-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn read_write(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(path).await.unwrap()
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn calls_on_paths_do_what_those_of_std_do() {
    let folder = Folder::new();
    block_on(async {
        let (one, two) = (folder.at("one"), folder.at("two"));
        fs::write(&one, "hello").await.unwrap();
        assert_eq!(fs::read(&one).await.unwrap(), b"hello");
        assert_eq!(fs::copy(&one, &two).await.unwrap(), 5);
        assert_eq!(fs::read_to_string(&two).await.unwrap(), "hello");
        fs::rename(&two, folder.at("three")).await.unwrap();
        assert!(!fs::try_exists(&two).await.unwrap());
        fs::hard_link(&one, &two).await.unwrap();
        fs::remove_file(&one).await.unwrap();
        assert_eq!(fs::metadata(&two).await.unwrap().len(), 5);
        let mut permissions = fs::metadata(&two).await.unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&two, permissions).await.unwrap();
        assert!(fs::metadata(&two).await.unwrap().permissions().readonly());
        fs::create_dir(folder.at("a")).await.unwrap();
        fs::create_dir_all(folder.at("a/b/c")).await.unwrap();
        assert!(fs::canonicalize(folder.at("a/../a/b")).await.unwrap().ends_with("a/b"));
        assert!(fs::remove_dir(folder.at("a")).await.is_err());
        fs::remove_dir_all(folder.at("a")).await.unwrap();
        let error = fs::read(folder.at("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_is_made_as_its_builder_says() {
    let folder = Folder::new();
    block_on(async {
        let mut builder = fs::DirBuilder::new();
        let error = builder.create(folder.at("a/b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.recursive(true).create(folder.at("a/b")).await.unwrap();
        builder.create(folder.at("a/b")).await.unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let made = fs::metadata(folder.at("a/b")).await.unwrap().permissions();
            assert_eq!(made.mode() & 0o777, 0o700);
        }
    });
}

#[test]
fn several_buffers_are_written_as_one() {
    use futures::AsyncWriteExt;
    use std::io::IoSlice;

    let folder = Folder::new();
    block_on(async {
        let mut file = File::create(folder.at("file")).await.unwrap();
        let bufs = [&b""[..], b"abc", b"", b"def", b"ghi", b"jkl"].map(IoSlice::new);
        assert_eq!(file.write_vectored(&bufs).await.unwrap(), 12);
        file.set_max_buf_size(1);
        let n = file.write_vectored(&bufs).await.unwrap();
        assert!((1..=12).contains(&n), "as many as there is room for, and at least one: {n}");
        assert_eq!(file.write_vectored(&[]).await.unwrap(), 0);
        file.flush().await.unwrap();
        let written = fs::read(folder.at("file")).await.unwrap();
        assert_eq!(written, b"abcdefghijklabcdefghijkl"[..12 + n]);
    });
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_made_read_and_looked_at() {
    let folder = Folder::new();
    block_on(async {
        fs::symlink("nowhere", folder.at("link")).await.unwrap();
        assert_eq!(fs::read_link(folder.at("link")).await.unwrap(), Path::new("nowhere"));
        let kind = fs::symlink_metadata(folder.at("link")).await.unwrap().file_type();
        assert!(kind.is_symlink());
        assert_eq!(fs::metadata(folder.at("link")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_is_read_whole_by_entries_and_as_a_stream() {
    let folder = Folder::new();
    let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    names.iter().for_each(|name| std::fs::write(folder.at(name), name).unwrap());
    block_on(async {
        let mut entries = fs::read_dir(&folder.0).await.unwrap();
        let mut seen = Vec::new();
        while let Some(entry) = entries.next_entry().await.unwrap() {
            assert_eq!(entry.metadata().await.unwrap().len(), 3);
            assert!(entry.file_type().await.unwrap().is_file());
            assert_eq!(entry.path(), folder.at(entry.file_name()));
            seen.push(entry.file_name().into_string().unwrap());
        }
        assert!(entries.next_entry().await.unwrap().is_none(), "it stays at its end");
        seen.sort();
        assert_eq!(seen, names);
        let entries = fs::read_dir(&folder.0).await.unwrap();
        assert_eq!(entries.map(Result::unwrap).count().await, 100);
        assert!(fs::read_dir(folder.at("000")).await.is_err());
    });
}

#[test]
fn a_file_is_written_read_sought_cut_and_cloned() {
    let folder = Folder::new();
    block_on(async {
        let path = folder.at("file");
        let mut file = File::create_new(&path).await.unwrap();
        file.write_all(b"0123456789").await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 10, "what was accepted is there");
        assert_eq!(file.stream_position().await.unwrap(), 10);
        assert_eq!(file.seek(SeekFrom::End(-3)).await.unwrap(), 7);
        let mut rest = String::new();
        assert_eq!(file.read_to_string(&mut rest).await.unwrap(), 3);
        assert_eq!(rest, "789");
        file.set_len(5).await.unwrap();
        file.rewind().await.unwrap();
        let mut four = [0; 4];
        assert_eq!(file.read_exact(&mut four).await.unwrap(), 4);
        let error = file.read_exact(&mut four).await.unwrap_err();
        assert_eq!((&four, error.kind()), (b"4123", ErrorKind::UnexpectedEof));
        let error = file.seek(SeekFrom::Start(0)).await.and(file.seek(SeekFrom::Current(-1)).await);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut other = file.try_clone().await.unwrap();
        assert_eq!(other.read(&mut four).await.unwrap(), 4);
        assert_eq!(file.stream_position().await.unwrap(), 4, "one cursor");
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
        assert_eq!(File::create_new(&path).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let std = file.into_std().await;
        assert_eq!(std.metadata().unwrap().len(), 5);
        assert_eq!(File::from_std(std).read(&mut four).await.unwrap(), 1);
        assert_eq!(File::open(&path).await.unwrap().read(&mut []).await.unwrap(), 0);
    });
}

#[test]
fn a_file_has_the_traits_of_futures_io() {
    let folder = Folder::new();
    block_on(async {
        let mut file = read_write(&folder.at("file")).await;
        AsyncWriteExt::write_all(&mut file, b"one\ntwo\n").await.unwrap();
        AsyncSeekExt::seek(&mut file, SeekFrom::Start(4)).await.unwrap();
        let mut text = String::new();
        AsyncReadExt::read_to_string(&mut file, &mut text).await.unwrap();
        assert_eq!(text, "two\n");
        AsyncWriteExt::close(&mut file).await.unwrap();
        assert_eq!(std::fs::read(folder.at("file")).unwrap().len(), 8, "closing flushes");
    });
}

#[test]
fn flush_waits_for_what_was_accepted() {
    let folder = Folder::new();
    block_on(async {
        let mut file = File::create(folder.at("file")).await.unwrap();
        for n in 0..1000 {
            file.write_all(format!("{n:04}").as_bytes()).await.unwrap();
        }
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(folder.at("file")).unwrap().len(), 4000);
        file.flush().await.unwrap();
    });
}

#[test]
fn small_writes_share_a_job_while_it_cannot_begin() {
    let folder = Folder::new();
    let mut event_loop = built::<()>(|builder| builder.blocking_threads(1));
    let handle = event_loop.handle();
    event_loop
        .block_on(async {
            let mut file = File::create(folder.at("file")).await.unwrap();
            let (open, gate) = std::sync::mpsc::channel::<()>();
            let blocker = spawn_blocking(move || gate.recv().unwrap_err());
            for _ in 0..100 {
                // Accepted at once: the only thread is occupied.
                assert!(matches!(poll_once(pin!(file.write(b"x"))), Poll::Ready(Ok(1))));
            }
            assert_eq!(handle.stats().items, 2, "the blocker, and one job for all");
            file.set_max_buf_size(100);
            assert!(poll_once(pin!(file.write(b"y"))).is_pending(), "there is no room");
            drop(open);
            blocker.await.unwrap();
            file.write_all(&[b'y'; 1000]).await.unwrap();
            file.flush().await.unwrap();
            assert_eq!(std::fs::read(folder.at("file")).unwrap().len(), 1100);
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn what_was_accepted_is_written_also_if_the_file_is_dropped() {
    let folder = Folder::new();
    let mut event_loop = event_loop::<()>();
    let path = folder.at("file");
    event_loop.handle().spawn(async move {
        let mut file = File::create(path).await.unwrap();
        file.write_all(&[7; 100_000]).await.unwrap();
    });
    event_loop.run(&mut ()).unwrap();
    assert_eq!(std::fs::read(folder.at("file")).unwrap(), [7; 100_000]);
    closes_clean(event_loop);
}

#[test]
fn a_dropped_read_gives_its_bytes_to_the_next_and_a_write_goes_where_the_reader_is() {
    let folder = Folder::new();
    let path = folder.at("file");
    std::fs::write(&path, "0123456789").unwrap();
    block_on(async {
        let mut file = read_write(&path).await;
        assert!(poll_once(pin!(file.read(&mut [0; 4]))).is_pending());
        let mut two = [0; 2];
        assert_eq!((file.read(&mut two).await.unwrap(), &two), (2, b"01"));
        // Two more were read ahead by the one that was dropped.
        assert_eq!(file.seek(SeekFrom::Current(0)).await.unwrap(), 2);
        assert!(poll_once(pin!(file.read(&mut [0; 4]))).is_pending());
        file.write_all(b"xx").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "01xx456789");
        assert!(poll_once(pin!(file.seek(SeekFrom::Start(1)))).is_pending());
        assert_eq!((file.read(&mut two).await.unwrap(), &two), (2, b"1x"), "in order");
        assert!(poll_once(pin!(file.read(&mut [0; 4]))).is_pending());
        let mut std = file.into_std().await;
        assert_eq!(std::io::Seek::stream_position(&mut std).unwrap(), 3);
    });
}

// fault 10
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_once_to_the_next_call_on_that_file_only() {
    let folder = Folder::new();
    block_on(async {
        let mut full = OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        let mut fine = File::create(folder.at("file")).await.unwrap();
        full.write_all(b"lost").await.unwrap();
        fine.write_all(b"kept").await.unwrap();
        assert_eq!(full.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
        full.flush().await.unwrap();
        fine.flush().await.unwrap();
        assert_eq!(std::fs::read(folder.at("file")).unwrap(), b"kept");
        // By the next write, if there is no flush between; by what syncs; by closing.
        full.write_all(b"lost").await.unwrap();
        let error = std::future::poll_fn(|cx| pin!(full.write(b"more")).poll(cx).map(Result::err));
        let mut told = error.await;
        while told.is_none() {
            loopline::yield_now().await;
            told = full.write(b"more").await.err();
        }
        assert_eq!(told.unwrap().kind(), ErrorKind::StorageFull);
        let _ = full.flush().await;
        full.write_all(b"lost").await.unwrap();
        assert_eq!(full.sync_all().await.unwrap_err().kind(), ErrorKind::StorageFull);
        full.write_all(b"lost").await.unwrap();
        let error = AsyncWriteExt::close(&mut full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(fs::write("/dev/full", "x").await.unwrap_err().kind(), ErrorKind::StorageFull);
    });
}

#[cfg(unix)]
#[test]
fn the_loop_goes_on_while_a_fifo_waits_for_its_other_end_and_a_dropped_call_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.at("fifo");
    let done = std::process::Command::new("mkfifo").arg(&path).status();
    if !done.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no mkfifo here");
    }
    block_on(async {
        let opening = loopline::spawn({
            let path = path.clone();
            async move { File::open(path).await.unwrap() }
        });
        for _ in 0..1000 {
            loopline::yield_now().await;
        }
        assert!(!opening.is_finished());
        opening.cancel().await.unwrap_err();
        // The thread is in its call still, or never was: this ends it, and cannot block itself.
        drop(std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap());
    });
}

#[test]
fn a_call_that_has_not_begun_is_taken_back_if_it_is_dropped() {
    let folder = Folder::new();
    let mut event_loop = built::<()>(|builder| builder.blocking_threads(1));
    event_loop
        .block_on(async {
            let (open, gate) = std::sync::mpsc::channel::<()>();
            let blocker = spawn_blocking(move || gate.recv().unwrap_err());
            assert!(poll_once(pin!(fs::create_dir(folder.at("never")))).is_pending());
            drop(open);
            blocker.await.unwrap();
            fs::create_dir(folder.at("after")).await.unwrap();
            assert!(!fs::try_exists(folder.at("never")).await.unwrap());
        })
        .unwrap();
    closes_clean(event_loop);
}

#[test]
fn a_paused_clock_waits_for_files() {
    let folder = Folder::new();
    block_on_paused(async {
        let started = now();
        let calls = async {
            for n in 0..20 {
                fs::write(folder.at("file"), n.to_string()).await.unwrap();
            }
        };
        timeout(std::time::Duration::from_millis(1), calls).await.unwrap();
        assert_eq!(now(), started);
    });
}

#[test]
fn a_loop_that_ends_does_not_wait_for_a_call_that_is_out() {
    let mut event_loop = event_loop::<()>();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    event_loop.handle().spawn(async move {
        let blocker = spawn_blocking(move || gate.recv().unwrap_err());
        blocker.await.unwrap();
    });
    event_loop.turn(&mut (), std::time::Duration::ZERO).unwrap();
    ends_with_items(event_loop, 2);
    drop(open);
}
