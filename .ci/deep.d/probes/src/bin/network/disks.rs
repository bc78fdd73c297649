//! Disks that are full or broken.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use loopline::fs;

use crate::bystanders::quiet;
use crate::tools::soon;

fn folder() -> PathBuf {
    std::env::var_os("PROBE_FOLDER").expect("PROBE_FOLDER").into()
}

/// The folder is a file system of 64 KiB.
pub async fn full_disk() -> String {
    let folder = folder();
    let error = soon(fs::write(folder.join("big"), vec![1; 1 << 20])).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let mut file = fs::File::create(folder.join("more")).await.expect("a file");
    let _ = soon(file.write_all(&vec![1; 1 << 20])).await;
    let error = soon(file.flush()).await.expect_err("told once");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    soon(file.flush()).await.expect("and not again");
    // Others on the same loop, and the same pool, do not hear of it.
    let elsewhere = std::env::temp_dir().join(format!("loopline-probe-{}", std::process::id()));
    soon(fs::write(&elsewhere, b"room")).await.expect("room elsewhere");
    soon(fs::remove_file(&elsewhere)).await.expect("removed");
    drop(file);
    quiet(Duration::from_millis(200)).await;
    // Room again.
    for name in ["big", "more"] {
        soon(fs::remove_file(folder.join(name))).await.expect("removed");
    }
    soon(fs::write(folder.join("small"), b"room")).await.expect("room again");
    assert_eq!(soon(fs::read(folder.join("small"))).await.expect("read"), b"room");
    "no room is told once to whom it concerns; room again is used".into()
}

/// Writes to the folder's file `broken` fail with EIO, by injection.
pub async fn broken_disk() -> String {
    let folder = folder();
    let error = soon(fs::write(folder.join("broken"), b"lost")).await.expect_err("a broken disk");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    let mut file = fs::File::create(folder.join("broken")).await.expect("a file");
    let _ = soon(file.write_all(b"lost")).await;
    let error = soon(file.flush()).await.expect_err("told once");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    soon(file.flush()).await.expect("and not again");
    soon(fs::write(folder.join("fine"), b"kept")).await.expect("another file");
    assert_eq!(soon(fs::read(folder.join("fine"))).await.expect("read"), b"kept");
    "EIO is told once to whom it concerns".into()
}
