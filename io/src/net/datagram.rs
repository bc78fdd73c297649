//! What datagram sockets share, written once: `UdpSocket` and `UnixDatagram` differ in how they are made
//! and in what an address is.
//!
//! Readiness is kept until an operation would block: unlike a stream's, a short datagram says nothing of
//! what comes behind it.

/// The methods of a datagram type that has a field `adapter`, with addresses of a type.
macro_rules! datagram {
    ($Socket:ident, $Addr:ty) => {
        impl $Socket {
            /// Receives a datagram from the peer this is connected to; from anybody if it is not. Waits if
            /// none is there. Returns its length, 0 for an empty one.
            ///
            /// Bytes that find no room in the buffer are lost: see
            #[doc = concat!("[truncation](", stringify!($Socket), "#truncation).")]
            ///
            /// # Errors
            ///
            /// What the system says. One that an earlier datagram met on its way, such as
            /// `ConnectionRefused` by the peer's host, is told once, and the socket goes on.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has received nothing.
            pub fn recv(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.adapter.op::<Reading, _, _>(|socket, _| socket.recv(buf))
            }

            /// Receives a datagram and its sender's address; as [`Self::recv`].
            ///
            /// # Errors
            ///
            /// As [`Self::recv`].
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has received nothing.
            pub fn recv_from(
                &self,
                buf: &mut [u8],
            ) -> impl Future<Output = io::Result<(usize, $Addr)>> {
                self.adapter.op::<Reading, _, _>(|socket, _| socket.recv_from(buf))
            }

            /// Sends a datagram to the peer this is connected to, whole or not at all, and waits if the
            /// queue is full. Returns its length.
            ///
            /// # Errors
            ///
            /// What the system says, such as that the datagram is too big, or that this is not connected.
            /// One that an earlier datagram met on its way is told once, and the socket goes on.
            ///
            /// # Cancel safety
            ///
            /// Strict: a wait that is dropped has sent nothing.
            pub fn send(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.adapter.op::<Writing, _, _>(|socket, _| socket.send(buf))
            }

            /// Receives a datagram that is there, without waiting; as [`Self::recv`].
            ///
            /// # Errors
            ///
            /// `WouldBlock` if none is there: then [`Self::readable`] waits.
            pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.adapter.try_io(Direction::Read, |socket| socket.recv(buf))
            }

            /// Receives a datagram that is there and its sender's address, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if none is there: then [`Self::readable`] waits.
            pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, $Addr)> {
                self.adapter.try_io(Direction::Read, |socket| socket.recv_from(buf))
            }

            /// Sends a datagram to the peer this is connected to, without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if the queue is full: then [`Self::writable`] waits.
            pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
                self.adapter.try_io(Direction::Write, |socket| socket.send(buf))
            }

            /// As [`Self::recv`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// As [`Self::recv`].
            pub fn poll_recv(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let key = &mut WaitKey::last_poller();
                self.adapter.poll_io(Direction::Read, key, cx, |socket| socket.recv(buf))
            }

            /// As [`Self::recv_from`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// As [`Self::recv`].
            pub fn poll_recv_from(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<(usize, $Addr)>> {
                let key = &mut WaitKey::last_poller();
                self.adapter.poll_io(Direction::Read, key, cx, |socket| socket.recv_from(buf))
            }

            /// As [`Self::send`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// As [`Self::send`].
            pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                let key = &mut WaitKey::last_poller();
                self.adapter.poll_io(Direction::Write, key, cx, |socket| socket.send(buf))
            }

            /// As [`Self::readable`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.adapter.poll_ready(Direction::Read, &mut WaitKey::last_poller(), cx)
            }

            /// As [`Self::writable`], for code that polls. Only the last task to poll is woken.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.adapter.poll_ready(Direction::Write, &mut WaitKey::last_poller(), cx)
            }
        }
    };
}

pub(super) use datagram;
