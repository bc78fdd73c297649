//! `TcpStream` without waiting: readiness, and operations that are tried once.

use std::io::{self, IoSlice, IoSliceMut, Write};

use loopline_runtime::registration::Direction;

use super::tcp_stream::{TcpStream, read_now, read_vectored_now};

impl TcpStream {
    /// Waits until a read is worth trying: something is there, the peer has ended, or it failed.
    ///
    /// # Errors
    ///
    /// If the socket cannot be registered.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn readable(&self) -> io::Result<()> {
        self.adapter().ready(Direction::Read).await
    }

    /// Waits until a write is worth trying.
    ///
    /// # Errors
    ///
    /// If the socket cannot be registered.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn writable(&self) -> io::Result<()> {
        self.adapter().ready(Direction::Write).await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there: then [`TcpStream::readable`] waits.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.adapter()
            .try_io(Direction::Read, |socket| read_now(socket, self.adapter().registration(), buf))
    }

    /// Reads into several buffers, without waiting; as [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.adapter().try_io(Direction::Read, |socket| {
            read_vectored_now(socket, self.adapter().registration(), bufs)
        })
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none: then [`TcpStream::writable`] waits.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.adapter().try_io(Direction::Write, |mut socket| socket.write(buf))
    }

    /// Writes from several buffers, without waiting; as [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.adapter().try_io(Direction::Write, |mut socket| socket.write_vectored(bufs))
    }
}
