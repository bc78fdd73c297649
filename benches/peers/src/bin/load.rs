//! The client of the echo and HTTP servers, on raw epoll: `load ADDRESS CONNECTIONS REQUESTS [OPTION]...`
//! asks, and prints requests, wall ns per request, the server's CPU ns per request.
//!
//! - `bytes=N`: a message, 64 unless said. `pipeline=N`: so many messages are sent before their answers
//!   are awaited. `http`: a GET in place of an echo.
//! - `pause=US`: waits so long after each round of answers, so that the server goes to sleep in between:
//!   only then can its system calls per request be counted.
//! - `churn`: a new connection for each request.
//! - `idle`: opens the connections, one answer on each, then prints what the server's memory grew by for
//!   each, in bytes, and ends.
//! - `pid=N`: the server, to read its CPU time and memory.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: load\r\naccept: */*\r\n\r\n";

struct Load {
    address: SocketAddr,
    connections: usize,
    /// In all; connections in all when churning.
    requests: usize,
    /// What is sent at once, `pipeline` messages.
    message: Vec<u8>,
    pipeline: usize,
    http: bool,
    server: Option<u32>,
}

fn main() {
    if let Err(error) = run(std::env::args().skip(1).collect()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(arguments: Vec<String>) -> io::Result<()> {
    let usage = || io::Error::other("usage: load ADDRESS CONNECTIONS REQUESTS [OPTION]...");
    let number = |n: usize| -> io::Result<usize> {
        arguments.get(n).and_then(|text| text.parse().ok()).ok_or_else(usage)
    };
    let flag = |name: &str| arguments.iter().skip(3).any(|option| option == name);
    let value = |name: &str| -> Option<usize> {
        let of = |option: &String| option.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        arguments.iter().skip(3).find_map(of)
    };
    let pipeline = value("pipeline").unwrap_or(1);
    let one = if flag("http") { GET.to_vec() } else { vec![b'x'; value("bytes").unwrap_or(64)] };
    let load = Load {
        address: arguments.first().and_then(|text| text.parse().ok()).ok_or_else(usage)?,
        connections: number(1)?,
        requests: number(2)?,
        message: one.repeat(pipeline),
        pipeline,
        http: flag("http"),
        server: value("pid").map(|pid| pid as u32),
    };
    if flag("idle") {
        return load.idle();
    }
    let before = load.server_cpu();
    let began = Instant::now();
    let done = if flag("churn") {
        load.churn()?
    } else {
        match value("pause") {
            Some(pause) => load.paused(Duration::from_micros(pause as u64))?,
            None => load.closed_loop()?,
        }
    };
    let wall = began.elapsed().as_nanos() as f64 / done as f64;
    let cpu = (load.server_cpu() - before) as f64 / done as f64;
    println!("{done} {wall:.0} {cpu:.0}");
    Ok(())
}

impl Load {
    /// Nanoseconds the server's threads were on a CPU: those of io_uring's helpers are among them.
    fn server_cpu(&self) -> u64 {
        let Some(server) = self.server else { return 0 };
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{server}/task")) else { return 0 };
        let of = |task: io::Result<std::fs::DirEntry>| -> Option<u64> {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        tasks.filter_map(of).sum()
    }

    /// The server's resident memory.
    fn server_memory(&self) -> io::Result<usize> {
        let server = self.server.ok_or_else(|| io::Error::other("idle needs pid="))?;
        let text = std::fs::read_to_string(format!("/proc/{server}/statm"))?;
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
        pages.map(|pages| pages * 4096).ok_or_else(|| io::Error::other("no number"))
    }

    /// Asks once to learn how long the answer to one message is.
    fn answer(&self) -> io::Result<usize> {
        if !self.http {
            return Ok(self.message.len());
        }
        let mut stream = self.connect()?;
        stream.write_all(GET)?;
        std::thread::sleep(Duration::from_millis(500)); // until all of it is there
        Ok(stream.read(&mut [0; 4096])? * self.pipeline)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// All connections, one after the other: the listener's backlog is short.
    fn connect_all(&self) -> io::Result<Vec<TcpStream>> {
        let mut streams = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let stream = self.connect()?;
            if self.connections > 1_000 {
                // Closing by RST leaves no port in TIME_WAIT: there are 28,000.
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                // SAFETY: the pointer is to a local of the size given.
                let failed = unsafe {
                    libc::setsockopt(
                        stream.as_raw_fd(),
                        libc::SOL_SOCKET,
                        libc::SO_LINGER,
                        (&raw const linger).cast(),
                        size_of::<libc::linger>() as libc::socklen_t,
                    )
                };
                assert_eq!(failed, 0, "a socket lingers");
            }
            streams.push(stream);
        }
        Ok(streams)
    }

    fn churn(&self) -> io::Result<usize> {
        let mut done = 0;
        let mut answer = vec![0; self.message.len()];
        while done < self.requests {
            let streams = self.connect_all()?;
            for mut stream in &streams {
                stream.write_all(&self.message)?;
            }
            for mut stream in &streams {
                stream.read_exact(&mut answer)?;
            }
            done += self.connections;
        }
        Ok(done)
    }

    /// One answer on each of the connections.
    fn ask_each(&self, streams: &[TcpStream], answer: &mut [u8]) -> io::Result<()> {
        for mut stream in streams {
            stream.write_all(&self.message)?;
        }
        for mut stream in streams {
            stream.read_exact(answer)?;
        }
        Ok(())
    }

    fn paused(&self, pause: Duration) -> io::Result<usize> {
        let mut answer = vec![0; self.answer()?];
        let streams = self.connect_all()?;
        std::thread::sleep(Duration::from_millis(50));
        let mut done = 0;
        while done < self.requests {
            self.ask_each(&streams, &mut answer)?;
            done += self.connections * self.pipeline;
            std::thread::sleep(pause);
        }
        Ok(done)
    }

    fn idle(&self) -> io::Result<()> {
        let mut answer = vec![0; self.message.len()];
        // What the server makes once, it makes for the first.
        let first = self.connect()?;
        self.ask_each(&[first], &mut answer)?;
        let before = self.server_memory()?;
        let streams = self.connect_all()?;
        self.ask_each(&streams, &mut answer)?;
        std::thread::sleep(Duration::from_millis(200));
        let grown = self.server_memory()?.saturating_sub(before);
        println!("{:.1}", grown as f64 / self.connections as f64);
        Ok(())
    }

    fn closed_loop(&self) -> io::Result<usize> {
        let streams = self.connect_all()?;
        // SAFETY: system calls on descriptors and buffers this function owns, here and below.
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
            stream.write_all(&self.message)?;
            sent += self.pipeline;
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut answer = vec![0; length.max(4_096)];
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
                    done += self.pipeline;
                    missing[index] = length;
                    if sent < self.requests {
                        stream.write_all(&self.message)?;
                        sent += self.pipeline;
                    }
                }
            }
        }
        // SAFETY: as above.
        unsafe { libc::close(epoll) };
        Ok(done)
    }
}
