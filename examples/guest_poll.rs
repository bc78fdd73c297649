//! A loop inside another one that knows `poll(2)` and nothing else: the host waits on two descriptors, its own
//! and the guest's, and calls for a turn when the guest's is readable. No thread, no timeout.
//!
//! ```text
//! cargo run --example guest_poll
//! ```

#[cfg(target_os = "linux")] // elsewhere the descriptor does not tell of timers: see `loopline::Guest`
fn main() -> std::io::Result<()> {
    host::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this example is for Linux");
}

#[cfg(target_os = "linux")]
mod host {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, AsRawFd, RawFd};
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    use loopline::net::{TcpListener, TcpStream};
    use loopline::time::sleep;
    use loopline::{EventLoop, Handle};

    /// What both share: the host passes it to each turn, and may look at it between them.
    #[derive(Default)]
    struct State {
        lines: Vec<String>,
    }

    pub(super) fn run() -> io::Result<()> {
        let guest = EventLoop::<State>::new()?.into_guest();
        guest.handle().spawn(network(guest.handle()));
        let (mut commands, other_end) = UnixStream::pair()?;
        let commander = thread::spawn(move || command(other_end));

        let (mut state, mut open) = (State::default(), true);
        while !guest.is_finished() {
            // A negative number is left out.
            let own = if open { commands.as_raw_fd() } else { -1 };
            let [command, turn] = wait([own, guest.as_fd().as_raw_fd()])?;
            if command {
                let mut n = [0];
                open = commands.read(&mut n)? != 0;
                if open {
                    on_command(guest.handle(), n[0]);
                }
            }
            if turn {
                guest.turn(&mut state)?;
            }
            state.lines.drain(..).for_each(|line| println!("{line}"));
        }
        commander.join().expect("a thread that does not panic");
        Ok(())
    }

    /// A callback of the host. It uses the guest as it likes, which asks for a turn by itself.
    fn on_command(guest: Handle<State>, n: u8) {
        guest.spawn(async move {
            sleep(Duration::from_millis(10)).await;
            guest_line(format!("command {n}, 10 ms later"));
        });
    }

    /// Waits for as long as it takes, and returns which descriptors are readable.
    fn wait<const N: usize>(fds: [RawFd; N]) -> io::Result<[bool; N]> {
        let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: that many entries, borrowed for the time of the call.
        let found = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, -1) };
        if found < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(polled.map(|fd| fd.revents != 0))
    }

    fn command(mut host: UnixStream) {
        for n in 1..=3 {
            thread::sleep(Duration::from_millis(20));
            host.write_all(&[n]).expect("a host that listens");
        }
    }

    fn guest_line(line: String) {
        let handle = Handle::<State>::try_current().expect("inside a turn of the guest");
        handle.with(|state| state.lines.push(line));
    }

    /// Ordinary code for a loop: it does not know that it runs inside another one.
    async fn network(handle: Handle<State>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        handle.spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut buf = [0; 16];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..n]).await.expect("a client that listens");
            }
        });
        let stream = TcpStream::connect(address).await.expect("a server");
        for n in 1..=5 {
            stream.write_all(b"echo").await.expect("a server that listens");
            stream.read_exact(&mut [0; 4]).await.expect("an answer");
            guest_line(format!("answer {n} over TCP"));
            sleep(Duration::from_millis(15)).await;
        }
    }
}
