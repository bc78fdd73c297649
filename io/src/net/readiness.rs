//! What all sockets share, written once: readiness without an operation, operations that are tried
//! once, pending errors, and the ways to lend and give back the descriptor.

#[cfg(unix)]
pub(super) use any::{operate, ready, try_ready};

/// Waits and operations of one's own, for a type that has a field `adapter`.
macro_rules! readiness {
    ($Socket:ident) => {
        impl $Socket {
            /// Waits until a read is worth trying: something is there, the other end is gone, or it failed.
            ///
            /// # Errors
            ///
            /// If the socket cannot be registered.
            ///
            /// # Cancel safety
            ///
            /// Strict.
            pub async fn readable(&self) -> io::Result<()> {
                self.adapter.ready(Direction::Read).await
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
                self.adapter.ready(Direction::Write).await
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
                super::readiness::ready(&self.adapter, interest).await
            }

            /// Tries an operation of one's own on the socket, which must not block, and remembers if it
            /// would have: in all directions asked for, until their next event. So ask for those that the
            /// operation is in; a write need not wait because a read would.
            ///
            /// # Errors
            ///
            /// What the operation returns; `WouldBlock`, without a try, if the socket is not ready.
            #[cfg(unix)]
            pub fn try_io<R>(
                &self,
                interest: crate::fd::Interest,
                op: impl FnOnce() -> io::Result<R>,
            ) -> io::Result<R> {
                super::readiness::try_ready(&self.adapter, interest, op)
            }

            /// Does an operation of one's own on the socket, which must not block, and waits each time it
            /// would have; as [`Self::try_io`].
            ///
            /// # Errors
            ///
            /// What the operation returns; or if the socket cannot be registered.
            ///
            /// # Cancel safety
            ///
            /// Strict: between waits the operation was not called, or would have blocked.
            #[cfg(unix)]
            pub async fn async_io<R>(
                &self,
                interest: crate::fd::Interest,
                op: impl FnMut() -> io::Result<R>,
            ) -> io::Result<R> {
                super::readiness::operate(&self.adapter, interest, op).await
            }

            /// Returns and clears the socket's pending error.
            ///
            /// # Errors
            ///
            /// If it cannot be read.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.adapter.cell().get().take_error()
            }
        }
    };
}

/// The ways between a type of ours, with a field `adapter`, and one of the standard library.
macro_rules! descriptor {
    ($Socket:ident, $std:ty, $from_std:path) => {
        impl $Socket {
            /// Takes over a socket of the standard library, and makes it non-blocking.
            ///
            /// # Errors
            ///
            /// If it cannot be made non-blocking.
            pub fn from_std(socket: $std) -> io::Result<Self> {
                socket.set_nonblocking(true)?;
                let this = Self::from_source($from_std(socket));
                // It may have been duplicated before.
                this.adapter.lend();
                Ok(this)
            }

            /// Ends the registration and returns the socket, still non-blocking.
            ///
            /// # Errors
            ///
            /// None at present.
            pub fn into_std(self) -> io::Result<$std> {
                self.adapter.into_inner().map(Into::into)
            }
        }

        impl TryFrom<$std> for $Socket {
            type Error = io::Error;

            /// As [`Self::from_std`].
            fn try_from(socket: $std) -> io::Result<Self> {
                Self::from_std(socket)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsFd for $Socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.adapter.lend();
                self.adapter.cell().as_ref().as_fd()
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $Socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                use std::os::fd::AsFd;
                self.as_fd().as_raw_fd()
            }
        }
    };
}

pub(super) use {descriptor, readiness};

/// One direction or the other, or both at once.
#[cfg(unix)]
mod any {
    use std::future::poll_fn;
    use std::io;
    use std::task::{Context, Poll, ready};

    use loopline_runtime::budget;

    use crate::adapter::Adapter;
    use crate::adapter::watch::Keys;
    use crate::fd::{Interest, Ready};
    use crate::sys::Pollable;

    /// Waits until a direction asked for is worth trying.
    pub(crate) async fn ready<T: Pollable>(
        adapter: &Adapter<T>,
        interest: Interest,
    ) -> io::Result<Ready> {
        let mut waiting = Waiting { adapter, interest, keys: Keys::new() };
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// A wait in any of some directions.
    struct Waiting<'a, T: Pollable> {
        adapter: &'a Adapter<T>,
        interest: Interest,
        keys: Keys,
    }

    impl<T: Pollable> Waiting<'_, T> {
        fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
            let permit = ready!(budget::poll_proceed(cx));
            let ready = Ready::of(self.adapter.registration(), self.interest);
            if !ready.is_empty() {
                permit.spend();
                return Poll::Ready(Ok(ready));
            }
            for direction in self.interest.directions() {
                self.adapter.wait(direction, self.keys.of(direction), cx)?;
            }
            Poll::Pending
        }
    }

    impl<T: Pollable> Drop for Waiting<'_, T> {
        fn drop(&mut self) {
            self.adapter.unwait_any(self.interest, &mut self.keys);
        }
    }

    /// Does an operation, and waits each time it would block.
    pub(crate) async fn operate<T: Pollable, R>(
        adapter: &Adapter<T>,
        interest: Interest,
        mut op: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            ready(adapter, interest).await?;
            match try_ready(adapter, interest, &mut op) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Tries an operation if a direction asked for is ready. WouldBlock is remembered for all of them.
    pub(crate) fn try_ready<T: Pollable, R>(
        adapter: &Adapter<T>,
        interest: Interest,
        op: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let registration = adapter.registration();
        // Where the poller was not asked yet, only the operation itself can tell.
        let worth = |d| !registration.is_watched(d) || registration.is_ready(d);
        if !interest.directions().any(worth) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = op();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            interest.directions().for_each(|direction| registration.clear(direction));
        }
        result
    }
}
