//! Unix addresses: a path, a name that is in no file system (Linux), or none.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// Makes an address of a path; on Linux, of an abstract name if it begins with a zero byte.
pub(super) fn address(path: &Path) -> io::Result<SocketAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;

        if let [0, name @ ..] = path.as_os_str().as_bytes() {
            return SocketAddr::from_abstract_name(name).map_err(|error| explain(error, path));
        }
    }
    SocketAddr::from_pathname(path).map_err(|error| explain(error, path))
}

/// Says which path it is that is no address.
fn explain(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("`{}` is not the address of a Unix socket: {error}", path.display()),
    )
}
