//! zbus on the loop's own sockets.
//!
//! zbus has an event loop for its sockets, with a thread, and an executor, with another. Neither is started
//! here: the socket is ours, and the connection's tasks run in a task of this loop.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use async_trait::async_trait;
use loopline::net::UnixStream;
use loopline::{JoinHandle, spawn};
use send_wrapper::SendWrapper;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::fdo::ConnectionCredentials;

/// Begins a connection over a socket. The builder asks for no thread; what it builds has to be driven:
/// [`drive`].
pub fn builder<'a>(socket: UnixStream) -> Builder<'a> {
    Builder::socket(LoopSocket(socket)).internal_executor(false)
}

/// Runs the tasks of a connection. They end after its last clone, proxy and stream was dropped: some of these
/// have a last word with the bus. Whoever wants that said awaits the handle.
pub fn drive(connection: &Connection) -> JoinHandle<()> {
    let tasks = connection.executor().clone();
    spawn(async move {
        while !tasks.is_empty() {
            tasks.tick().await;
        }
    })
}

/// A socket of ours, for zbus.
struct LoopSocket(UnixStream);

/// It stays on its thread, as the tasks do that use it.
#[derive(Clone, Debug)]
struct Half(SendWrapper<Rc<UnixStream>>);

impl Socket for LoopSocket {
    type ReadHalf = Half;
    type WriteHalf = Half;

    fn split(self) -> Split<Half, Half> {
        let half = Half(SendWrapper::new(Rc::new(self.0)));
        Split::new(half.clone(), half)
    }
}

impl Half {
    /// Says who is at the other end: a server asks that before it lets somebody in.
    fn credentials(&self) -> io::Result<ConnectionCredentials> {
        let peer = self.0.peer_cred()?;
        let credentials = ConnectionCredentials::default().set_unix_user_id(peer.uid());
        Ok(match peer.pid().and_then(|pid| u32::try_from(pid).ok()) {
            Some(pid) => credentials.set_process_id(pid),
            None => credentials,
        })
    }
}

/// What Linux passes in one message.
const MOST_FDS: usize = 253;

#[async_trait]
impl ReadHalf for Half {
    async fn recvmsg(&mut self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let socket = &self.0;
        let received = async move { socket.recv_fds(buf, MOST_FDS).await };
        let received = SendWrapper::new(received).await?;
        Ok((received.len, received.fds))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.credentials()
    }
}

#[async_trait]
impl WriteHalf for Half {
    async fn sendmsg(&mut self, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let socket = &self.0;
        SendWrapper::new(async move {
            if fds.is_empty() { socket.write(buf).await } else { socket.send_fds(buf, fds).await }
        })
        .await
    }

    async fn close(&mut self) -> io::Result<()> {
        let socket = &self.0;
        SendWrapper::new(async move { socket.shutdown().await }).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.credentials()
    }
}
