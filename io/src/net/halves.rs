//! Both halves of a stream by value, for tasks that each own one: written once for `TcpStream` and
//! `UnixStream`.
//!
//! A macro, as `stream` is one: the methods are inherent.

/// The halves of a stream type, its way into them, and how they become one again.
macro_rules! halves {
    ($Stream:ident, $Addr:ty) => {
        impl $Stream {
            /// Takes the stream apart into two halves, which two tasks can own.
            ///
            /// Where they can borrow it or share it by an [`Rc`], that is not needed: every method takes
            /// `&self`.
            pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
                let stream = Rc::new(self);
                (
                    OwnedReadHalf { stream: stream.clone() },
                    OwnedWriteHalf { stream, ends: Cell::new(true) },
                )
            }
        }

        /// The half of a stream that reads; made by `into_split`.
        ///
        /// Dropping it ends nothing: what is sent to it waits unread until the other half is dropped too.
        #[derive(Debug)]
        pub struct OwnedReadHalf {
            stream: Rc<$Stream>,
        }

        /// The half of a stream that writes; made by `into_split`.
        ///
        /// Dropping it ends the sending half of the connection: the peer reads the rest, then the end.
        #[derive(Debug)]
        pub struct OwnedWriteHalf {
            stream: Rc<$Stream>,
            /// Whether dropping this ends sending.
            ends: Cell<bool>,
        }

        impl OwnedReadHalf {
            /// Puts the halves of one stream together again.
            ///
            /// # Errors
            ///
            /// Gives both back if they are not of one stream.
            pub fn reunite(self, other: OwnedWriteHalf) -> Result<$Stream, ReuniteError> {
                if !Rc::ptr_eq(&self.stream, &other.stream) {
                    return Err(ReuniteError(self, other));
                }
                other.forget();
                let stream = Rc::try_unwrap(self.stream);
                Ok(stream.expect("two halves hold it, and both were given"))
            }

            /// Reads into a buffer; as [`TcpStream::read`](crate::net::TcpStream::read).
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has read nothing.
            pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.read(buf)
            }

            /// Reads into several buffers; as `read`.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub fn read_vectored(
                &self,
                bufs: &mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                self.stream.read_vectored(bufs)
            }

            /// Fills the buffer. Returns its length.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the peer ends first; what was read stands in the buffer.
            ///
            /// # Cancel safety
            ///
            /// None: what was read so far is lost with the future, unless the caller keeps the buffer.
            pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.read_exact(buf)
            }

            /// Reads what is there, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream.try_read(buf)
            }

            /// Reads into several buffers, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is there.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream.try_read_vectored(bufs)
            }

            /// Waits until a read is worth trying.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn readable(&self) -> io::Result<()> {
                self.stream.readable().await
            }
        }

        impl OwnedWriteHalf {
            /// Puts the halves of one stream together again.
            ///
            /// # Errors
            ///
            /// Gives both back if they are not of one stream.
            pub fn reunite(self, other: OwnedReadHalf) -> Result<$Stream, ReuniteError> {
                other.reunite(self)
            }

            /// Drops this half without an end of sending: the other half keeps the connection.
            pub fn forget(self) {
                self.ends.set(false);
            }

            /// Writes from a buffer; as [`TcpStream::write`](crate::net::TcpStream::write).
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has written nothing.
            pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.write(buf)
            }

            /// Writes from several buffers; as `write`.
            ///
            /// # Errors
            ///
            /// What the system says.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub fn write_vectored(
                &self,
                bufs: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                self.stream.write_vectored(bufs)
            }

            /// Writes the whole buffer.
            ///
            /// # Errors
            ///
            /// What the system says; part of the buffer may have been written.
            ///
            /// # Cancel safety
            ///
            /// Partial: bytes already written stay written, and the caller does not learn how many.
            pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                self.stream.write_all(buf)
            }

            /// Does nothing: a socket has no buffer of ours.
            ///
            /// # Errors
            ///
            /// None.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn flush(&self) -> io::Result<()> {
                self.stream.flush().await
            }

            /// Ends the sending half, as dropping this does.
            ///
            /// # Errors
            ///
            /// What the system says. That the connection is gone already is none.
            ///
            /// # Cancel safety
            ///
            /// Strict: it never waits.
            pub async fn shutdown(&self) -> io::Result<()> {
                self.stream.shutdown().await
            }

            /// Writes what there is room for, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if there is none.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.stream.try_write(buf)
            }

            /// Writes from several buffers, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if there is no room.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream.try_write_vectored(bufs)
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
                self.stream.writable().await
            }
        }

        impl Drop for OwnedWriteHalf {
            fn drop(&mut self) {
                if self.ends.get() {
                    // A failure: the connection is gone, and has no sending half.
                    let _ = self.stream.shutdown_half(Shutdown::Write);
                }
            }
        }

        halves!(both OwnedReadHalf, $Stream, $Addr);
        halves!(both OwnedWriteHalf, $Stream, $Addr);

        super::futures_io::reads!([] OwnedReadHalf, self => &*self.stream);
        super::futures_io::reads!([] &OwnedReadHalf, self => &*self.stream);
        super::futures_io::writes!([] OwnedWriteHalf, self => &*self.stream);
        super::futures_io::writes!([] &OwnedWriteHalf, self => &*self.stream);

        /// Two halves that are not of one stream; both are in it.
        #[derive(Debug)]
        pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

        impl fmt::Display for ReuniteError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the two halves are not of one stream")
            }
        }

        impl std::error::Error for ReuniteError {}
    };
    (both $Half:ident, $Stream:ident, $Addr:ty) => {
        impl $Half {
            /// Returns this end's address.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn local_addr(&self) -> io::Result<$Addr> {
                self.stream.local_addr()
            }

            /// Returns the peer's address.
            ///
            /// # Errors
            ///
            /// What the system says, such as that it is not connected any more.
            pub fn peer_addr(&self) -> io::Result<$Addr> {
                self.stream.peer_addr()
            }

            /// Waits until one of the directions asked for is worth trying, and says which.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            #[cfg(unix)]
            pub async fn ready(
                &self,
                interest: crate::fd::Interest,
            ) -> io::Result<crate::fd::Ready> {
                self.stream.ready(interest).await
            }
        }

        impl AsRef<$Stream> for $Half {
            fn as_ref(&self) -> &$Stream {
                &self.stream
            }
        }
    };
}

pub(super) use halves;
