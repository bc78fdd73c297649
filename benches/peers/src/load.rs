//! The client of the echo and HTTP servers: connections in a closed loop, 64 bytes a message or one GET,
//! on raw epoll.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const MESSAGE: &[u8] = &[b'x'; 64];
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: load\r\naccept: */*\r\n\r\n";

/// What to do.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests in all, or connections in all when churning.
    pub requests: usize,
    /// Wait this long after each round of answers, so that the server goes to sleep in between: only
    /// then can its system calls per request be counted.
    pub pause: Option<Duration>,
    /// A new connection for each request.
    pub churn: bool,
    /// Ask for `/` instead of an echo; the answer has the same length each time.
    pub http: bool,
    /// The server, to read its CPU time.
    pub server: Option<u32>,
}

impl Load {
    /// Runs it and prints requests, wall time and the server's CPU time for each.
    pub fn run(&self) -> io::Result<()> {
        let before = self.server_cpu();
        let began = Instant::now();
        let done = if self.churn {
            self.churn()?
        } else {
            match self.pause {
                Some(pause) => self.paused(pause)?,
                None => self.closed_loop()?,
            }
        };
        let wall = began.elapsed().as_nanos() as f64 / done as f64;
        match (before, self.server_cpu()) {
            (Some(before), Some(after)) => {
                println!("{done} {wall:.0} {:.0}", (after - before) as f64 / done as f64);
            }
            _ => println!("{done} {wall:.0}"),
        }
        Ok(())
    }

    /// Nanoseconds the server's threads were on a CPU.
    fn server_cpu(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.server?)).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    fn message(&self) -> &'static [u8] {
        if self.http { GET } else { MESSAGE }
    }

    /// Asks once to learn how long an answer is.
    fn answer(&self) -> io::Result<usize> {
        if !self.http {
            return Ok(MESSAGE.len());
        }
        let mut stream = self.connect()?;
        stream.write_all(GET)?;
        std::thread::sleep(Duration::from_millis(500)); // until all of it is there
        stream.read(&mut [0; 4096])
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn churn(&self) -> io::Result<usize> {
        let mut done = 0;
        let mut answer = [0; 64];
        while done < self.requests {
            let streams: Vec<_> =
                (0..self.connections).map(|_| self.connect()).collect::<io::Result<_>>()?;
            for mut stream in &streams {
                stream.write_all(MESSAGE)?;
            }
            for mut stream in &streams {
                stream.read_exact(&mut answer)?;
            }
            done += self.connections;
        }
        Ok(done)
    }

    fn paused(&self, pause: Duration) -> io::Result<usize> {
        let mut answer = vec![0; self.answer()?];
        let streams: Vec<_> =
            (0..self.connections).map(|_| self.connect()).collect::<io::Result<_>>()?;
        std::thread::sleep(Duration::from_millis(50));
        let mut done = 0;
        while done < self.requests {
            for mut stream in &streams {
                stream.write_all(self.message())?;
            }
            for mut stream in &streams {
                stream.read_exact(&mut answer)?;
            }
            done += self.connections;
            std::thread::sleep(pause);
        }
        Ok(done)
    }

    fn closed_loop(&self) -> io::Result<usize> {
        let streams: Vec<_> =
            (0..self.connections).map(|_| self.connect()).collect::<io::Result<_>>()?;
        // SAFETY: system calls on descriptors and buffers this function owns.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        for (index, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: as above.
            let failed = unsafe {
                libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event)
            };
            if failed != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let length = self.answer()?;
        let mut missing = vec![length; streams.len()];
        let mut sent = 0;
        for mut stream in &streams {
            stream.write_all(self.message())?;
            sent += 1;
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut answer = [0; 4096];
        let mut done = 0;
        while done < sent {
            // SAFETY: as above.
            let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 1024, -1) };
            for event in &events[..ready.max(0) as usize] {
                let index = event.u64 as usize;
                let mut stream = &streams[index];
                let n = stream.read(&mut answer[..missing[index]])?;
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                missing[index] -= n;
                if missing[index] == 0 {
                    done += 1;
                    missing[index] = length;
                    if sent < self.requests {
                        stream.write_all(self.message())?;
                        sent += 1;
                    }
                }
            }
        }
        // SAFETY: as above.
        unsafe { libc::close(epoll) };
        Ok(done)
    }
}
