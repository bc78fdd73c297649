//! What the echo servers share. One task or one closure a connection, `TCP_NODELAY` as each has it.

use std::io;
use std::net::SocketAddr;

use crate::peer::Echo;

/// Where servers listen.
pub const ANY: &str = "127.0.0.1:0";

/// Prints where the server listens; `run` reads it.
pub fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

/// Serves with that many bytes of buffer for each connection.
pub fn serve<E: Echo>(buffer: usize) -> io::Result<()> {
    match buffer {
        64 => E::serve::<64>(),
        256 => E::serve::<256>(),
        4_096 => E::serve::<4_096>(),
        16_384 => E::serve::<16_384>(),
        _ => Err(io::Error::other("buffers are of 64, 256, 4096 or 16384 bytes")),
    }
}
