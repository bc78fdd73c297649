//! Faults of the network, each in a network namespace of its own whose loopback is up: made by
//! `.ci/deep.d/62-network`, which names the check. It passes by exit code 0.
//!
//! Beside each, an echo pair and a 10 ms timer live on the same loop; that they are served, that nothing
//! spins, and that nothing is left, is asserted for all.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopline::io::Interest;
use loopline::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixStream};
use loopline::time::{sleep, timeout};
use loopline::{EventLoop, Handle, spawn};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SOON: Duration = Duration::from_secs(30);

fn main() {
    let name = std::env::args().nth(1).expect("the name of a check");
    match name.as_str() {
        "black_hole" => check(black_hole()),
        "refusals" => check(refusals()),
        "few_ports" => check(few_ports()),
        "bad_checksum" => check(bad_checksum()),
        "shared_listener" => check(shared_listener()),
        "shared_listener_child" => shared_listener_child(),
        "no_resolver" => check(no_resolver()),
        "silent_resolver" => check(silent_resolver()),
        "refused_datagrams" => check(refused_datagrams()),
        "full_queue" => check(full_queue()),
        "loss" => check(loss()),
        "resets" => check(resets()),
        "small_packets" => check(small_packets()),
        "link_down" => check(link_down()),
        "output_nobody_reads" => check(output_nobody_reads()),
        "full_disk" => check(full_disk()),
        "broken_disk" => check(broken_disk()),
        _ => panic!("no check {name}"),
    }
}

/// Runs a check beside the bystanders; asserts what holds for all.
fn check(body: impl Future<Output = String>) {
    let descriptors = descriptors();
    let mut event_loop = EventLoop::<()>::new().expect("a loop");
    let bystanders = event_loop.handle().spawn(bystanders());
    let said = event_loop.block_on(async {
        sleep(Duration::from_millis(150)).await;
        let said = body.await;
        drop(bystanders.cancel());
        said
    });
    let said = said.expect("a run to the end");
    let (late, echo) = SEEN.with(|seen| {
        let mut seen = seen.borrow_mut();
        (worst_percent(&mut seen.0), worst_percent(&mut seen.1))
    });
    let stats = event_loop.handle().stats();
    assert_eq!((stats.items, stats.timers, stats.registrations), (0, 0, 0), "left on the loop");
    drop(event_loop);
    assert_eq!(self::descriptors(), descriptors, "descriptors left");
    // The machine may be busy: a loop that was held up shows as far more.
    assert!(late < 0.25 && echo < 0.25, "bystanders: timer {late:.3} s late, echo {echo:.3} s");
    println!("measured: {said}; bystanders' p99 {:.1} and {:.1} ms", late * 1e3, echo * 1e3);
}

thread_local! {
    /// How late the timer was, how long an echo took, in seconds.
    static SEEN: RefCell<(Vec<f64>, Vec<f64>)> = RefCell::default();
}

async fn bystanders() {
    let (one, other) = UnixStream::pair().expect("a pair");
    let echo = async {
        let mut buf = [0; 16];
        while let Ok(n @ 1..) = other.read(&mut buf).await {
            other.write_all(&buf[..n]).await.expect("an echo");
        }
    };
    let ask = async {
        loop {
            let began = Instant::now();
            sleep(Duration::from_millis(10)).await;
            let late = began.elapsed() - Duration::from_millis(10);
            let began = Instant::now();
            one.write_all(b"anybody?").await.expect("a question");
            one.read_exact(&mut [0; 8]).await.expect("an answer");
            SEEN.with(|seen| {
                let mut seen = seen.borrow_mut();
                seen.0.push(late.as_secs_f64());
                seen.1.push(began.elapsed().as_secs_f64());
            });
        }
    };
    futures::join!(echo, ask);
}

fn worst_percent(seen: &mut [f64]) -> f64 {
    assert!(seen.len() >= 4, "the bystanders were held up: {} rounds", seen.len());
    seen.sort_by(f64::total_cmp);
    seen[(seen.len() * 99 / 100).min(seen.len() - 1)]
}

/// Waits while nothing can proceed, and asserts that nothing is done meanwhile but what bystanders do.
async fn quiet(time: Duration) {
    let handle = Handle::<()>::try_current().expect("a loop that runs");
    let (turns, cpu, began) = (handle.stats().turns, cpu(), Instant::now());
    sleep(time).await;
    let (turns, cpu, took) = (handle.stats().turns - turns, self::cpu() - cpu, began.elapsed());
    // Some four turns each 10 ms for the bystanders, and as many again.
    let most = took.as_millis() as u64 * 8 / 10 + 50;
    assert!(turns <= most, "{turns} turns in {took:?} while nothing could proceed");
    let share = cpu.as_secs_f64() / took.as_secs_f64();
    assert!(share < 0.05 + 0.02 / took.as_secs_f64(), "spins: {:.0} % CPU", share * 100.0);
}

fn cpu() -> Duration {
    // SAFETY: fills a live struct of plain data.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    let libc::rusage { ru_utime, ru_stime, .. } = usage;
    time(ru_utime) + time(ru_stime)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

fn registrations() -> usize {
    Handle::<()>::try_current().expect("a loop that runs").stats().registrations
}

/// Runs a command that must succeed. It takes some milliseconds of the loop's thread.
fn sh(text: &str) {
    let status = std::process::Command::new("sh").args(["-ec", text]).status().expect("a shell");
    assert!(status.success(), "{text}: {status}");
}

/// Makes a table with one chain of rules, for what comes in.
fn filter(rules: &str) {
    sh(&format!(
        "nft 'table inet faults {{ chain faults {{ type filter hook input priority 0; {rules} }}; }}'"
    ));
}

fn unfilter() {
    sh("nft flush ruleset");
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("an end in time")
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let near = soon(TcpStream::connect(address)).await.expect("a connection");
    (near, soon(listener.accept()).await.expect("a connection").0)
}

async fn works(near: &TcpStream, far: &TcpStream) {
    soon(near.write_all(b"ping")).await.expect("a write");
    let mut got = [0; 4];
    soon(far.read_exact(&mut got)).await.expect("a read");
    assert_eq!(&got, b"ping");
}

async fn black_hole() -> String {
    filter("tcp dport 9 drop;");
    let before = (descriptors(), registrations());
    let began = Instant::now();
    let connect = TcpStream::connect((HERE, 9));
    assert!(timeout(Duration::from_millis(300), connect).await.is_err(), "out of a black hole");
    let took = began.elapsed();
    assert_eq!((descriptors(), registrations()), before, "the socket that connected is closed");
    // Others get its number and its place; answers to it come late, if at all, and reach nobody.
    let (near, far) = pair().await;
    let late = spawn(async move { far.read(&mut [0; 8]).await.map(|n| (n, far)) });
    let waiting = spawn(async {
        let connect = TcpStream::connect((HERE, 9)).await;
        connect.map(drop).map_err(|error| error.kind())
    });
    quiet(Duration::from_millis(500)).await;
    assert!(!late.is_finished() && !waiting.is_finished());
    // The fault lifts: who still waits gets its answer by the next retransmission, within 1 or 2 seconds.
    unfilter();
    let lifted = Instant::now();
    let refused = soon(waiting).await.expect("no panic");
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    assert!(lifted.elapsed() < Duration::from_secs(5), "{:?}", lifted.elapsed());
    near.write_all(b"x").await.expect("a write");
    assert_eq!(soon(late).await.expect("no panic").expect("a read").0, 1);
    format!("left after {took:.1?}, answered {:.1?} after it lifted", lifted.elapsed())
}

async fn refusals() -> String {
    let kind = |address: &'static str| async move {
        let address: SocketAddr = address.parse().expect("an address");
        let before = descriptors();
        let error = soon(TcpStream::connect(address)).await.expect_err("nobody there");
        assert_eq!(descriptors(), before);
        error.kind()
    };
    assert_eq!(kind("127.0.0.1:9").await, ErrorKind::ConnectionRefused);
    assert_eq!(kind("10.1.2.3:9").await, ErrorKind::NetworkUnreachable);
    sh("ip route add unreachable 10.1.0.0/16; ip route add prohibit 10.2.0.0/16");
    assert_eq!(kind("10.1.2.3:9").await, ErrorKind::HostUnreachable);
    assert_eq!(kind("10.2.2.3:9").await, ErrorKind::PermissionDenied);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a socket");
    let error = soon(socket.send_to(b"x", "10.9.2.3:9")).await.expect_err("no route");
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    quiet(Duration::from_millis(300)).await;
    // And a peer that is there is reached by the same socket.
    let peer = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    soon(socket.send_to(b"x", peer.local_addr().expect("an address"))).await.expect("a send");
    assert_eq!(soon(peer.recv(&mut [0; 8])).await.expect("a datagram"), 1);
    "refused, no network, no host, not permitted: each its own kind".into()
}

async fn few_ports() -> String {
    let (listener, address) = listener().await;
    sh("sysctl -q -w net.ipv4.ip_local_port_range='40000 40009'");
    let mut pairs = Vec::new();
    let error = loop {
        match soon(TcpStream::connect(address)).await {
            Ok(near) => pairs.push((near, soon(listener.accept()).await.expect("a connection").0)),
            Err(error) => break error,
        }
        assert!(pairs.len() <= 10, "more than there are ports");
    };
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
    assert_eq!(pairs.len(), 10);
    quiet(Duration::from_millis(300)).await;
    works(&pairs[9].0, &pairs[9].1).await;
    // One ends by its peer's end first, and its port is free again.
    let (near, far) = pairs.pop().expect("ten");
    drop(far);
    assert_eq!(soon(near.read(&mut [0; 8])).await.expect("the end"), 0);
    drop(near);
    let near = soon(TcpStream::connect(address)).await.expect("a port");
    works(&near, &soon(listener.accept()).await.expect("a connection").0).await;
    drop((near, pairs, listener));
    // A socket that connects to its own address is its own peer.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:41000".parse().expect("an address")).expect("bound");
    let own = socket.local_addr().expect("an address");
    let selves = soon(socket.connect(own)).await.expect("connected to itself");
    assert_eq!((selves.local_addr().ok(), selves.peer_addr().ok()), (Some(own), Some(own)));
    works(&selves, &selves).await;
    quiet(Duration::from_millis(300)).await;
    "the eleventh of ten ports is an error of its kind; one is its own peer".into()
}

async fn bad_checksum() -> String {
    let socket = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    // SAFETY: takes integers.
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP) };
    assert!(raw >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a descriptor just made, that nobody else has.
    let raw = unsafe { OwnedFd::from_raw_fd(raw) };
    let lie = || {
        let mut packet = vec![b'x'; 208];
        packet[..2].copy_from_slice(&9u16.to_be_bytes());
        packet[2..4].copy_from_slice(&port.to_be_bytes());
        packet[4..6].copy_from_slice(&208u16.to_be_bytes());
        packet[6..8].copy_from_slice(&[0xba, 0xd1]);
        let to = libc::sockaddr_in {
            sin_family: libc::AF_INET as _,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(HERE).to_be() },
            sin_zero: [0; 8],
        };
        let size = size_of_val(&to) as libc::socklen_t;
        // SAFETY: both pointers are to live values of the sizes given.
        let sent = unsafe {
            let packet = (packet.as_ptr().cast(), packet.len());
            libc::sendto(raw.as_raw_fd(), packet.0, packet.1, 0, (&raw const to).cast(), size)
        };
        assert_eq!(sent, 208, "{}", io::Error::last_os_error());
    };
    // It waits for the first time, so the poller is asked.
    assert!(timeout(Duration::from_millis(20), socket.recv(&mut [0; 8])).await.is_err());
    lie();
    soon(socket.ready(Interest::READABLE)).await.expect("an event");
    let nothing = socket.try_recv(&mut [0; 8]).expect_err("a lie");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let got = Rc::new(Cell::new(0));
    let receiver = spawn({
        let got = got.clone();
        async move {
            let mut buf = [0; 8];
            while let Ok(n @ 1..) = socket.recv(&mut buf).await {
                assert_eq!(&buf[..n], b"truth");
                got.set(got.get() + 1);
            }
        }
    });
    let sender = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    for round in 1..=20 {
        lie();
        sleep(Duration::from_millis(5)).await;
        assert_eq!(got.get(), round - 1);
        soon(sender.send_to(b"truth", (HERE, port))).await.expect("a send");
        let end = Instant::now() + SOON;
        while got.get() < round {
            assert!(Instant::now() < end, "no wake for datagram {round}");
            sleep(Duration::from_millis(1)).await;
        }
    }
    lie();
    quiet(Duration::from_millis(300)).await;
    assert!(!receiver.is_finished());
    soon(sender.send_to(b"", (HERE, port))).await.expect("a send");
    soon(receiver).await.expect("no panic");
    "22 datagrams with a bad checksum were events for nothing, 20 good ones came".into()
}

async fn shared_listener() -> String {
    const CLIENTS: usize = 300;
    let listener = std::net::TcpListener::bind((HERE, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let own = std::env::current_exe().expect("a program");
    let mut child = std::process::Command::new(own)
        .arg("shared_listener_child")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().expect("a duplicate"))))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("a child that is ready");
    let listener = TcpListener::from_std(listener).expect("a listener");
    let accepting = spawn(accept_and_say(listener, b'p'));
    let clients = std::thread::spawn(move || {
        let mut counts = [0, 0];
        for _ in 0..CLIENTS {
            let mut stream = std::net::TcpStream::connect(address).expect("a connection");
            let mut who = [0];
            stream.read_exact(&mut who).expect("who took it");
            counts[usize::from(who[0] == b'c')] += 1;
        }
        counts
    });
    while !clients.is_finished() {
        sleep(Duration::from_millis(10)).await;
    }
    let counts = clients.join().expect("no panic");
    // Both wait, and both may have lost races.
    quiet(Duration::from_millis(300)).await;
    let child_cpu = cpu_of(child.id());
    sleep(Duration::from_millis(500)).await;
    assert!(cpu_of(child.id()) - child_cpu <= 0.04, "the child spins");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    // Alone, it takes all.
    let alone = std::thread::spawn(move || {
        for _ in 0..20 {
            let mut stream = std::net::TcpStream::connect(address).expect("a connection");
            let mut who = [0];
            stream.read_exact(&mut who).expect("who took it");
            assert_eq!(who[0], b'p');
        }
    });
    while !alone.is_finished() {
        sleep(Duration::from_millis(10)).await;
    }
    alone.join().expect("no panic");
    drop(soon(accepting.cancel()).await);
    format!("{CLIENTS} clients, {counts:?} taken by each, 20 by the one that was left")
}

async fn accept_and_say(listener: TcpListener, who: u8) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(&[who]).await.expect("a write");
    }
}

fn shared_listener_child() {
    // SAFETY: what this process was given as its standard input, and nothing else uses.
    let listener = unsafe { std::net::TcpListener::from_raw_fd(0) };
    let mut event_loop = EventLoop::<()>::new().expect("a loop");
    println!("ready");
    io::stdout().flush().expect("a parent");
    let _ = event_loop.block_on(async move {
        accept_and_say(TcpListener::from_std(listener).expect("a listener"), b'c').await;
    });
}

fn cpu_of(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
    let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

async fn no_resolver() -> String {
    let began = Instant::now();
    let error = soon(TcpStream::connect(("a-name.invalid", 80))).await.expect_err("no resolver");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    // What is in the hosts file needs none.
    assert!(soon(loopline::net::lookup_host("localhost:1")).await.expect("localhost").count() > 0);
    format!("after {took:.0?}: {error}")
}

async fn silent_resolver() -> String {
    filter("udp dport 53 drop; tcp dport 53 drop;");
    let before = descriptors();
    let lookups: Vec<_> = (0..8)
        .map(|n| {
            spawn(async move {
                let name = format!("name-{n}.invalid:80");
                let lookup = loopline::net::lookup_host(name);
                timeout(Duration::from_millis(500), lookup).await.map(drop).is_err()
            })
        })
        .collect();
    quiet(Duration::from_millis(400)).await;
    for lookup in lookups {
        assert!(soon(lookup).await.expect("no panic"), "an answer from nowhere");
    }
    // The threads hold their sockets as long as the resolver waits: not the loop's.
    assert!(descriptors() <= before + 8);
    // `check` would count them.
    println!("measured: 8 lookups given up after 500 ms, threads still in getaddrinfo");
    io::stdout().flush().expect("a reader");
    SEEN.with(|seen| {
        let mut seen = seen.borrow_mut();
        let (late, echo) = (worst_percent(&mut seen.0), worst_percent(&mut seen.1));
        assert!(late < 0.25 && echo < 0.25, "bystanders: {late:.3} and {echo:.3} s");
    });
    // As the end of `main` does; the script looks at the time this takes.
    std::process::exit(0)
}

async fn refused_datagrams() -> String {
    let socket = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let to: SocketAddr = "127.0.0.1:41001".parse().expect("an address");
    socket.connect(to).await.expect("connected");
    let mut told = 0;
    for _ in 0..20 {
        soon(socket.send(b"anybody?")).await.expect("a send");
        let error = soon(socket.recv(&mut [0; 8])).await.expect_err("nobody there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        told += 1;
        assert!(
            timeout(Duration::from_millis(5), socket.recv(&mut [0; 8])).await.is_err(),
            "twice"
        );
    }
    quiet(Duration::from_millis(300)).await;
    let peer = UdpSocket::bind(to).await.expect("a socket");
    soon(socket.send(b"now")).await.expect("a send");
    let mut buf = [0; 8];
    let (n, from) = soon(peer.recv_from(&mut buf)).await.expect("a datagram");
    assert_eq!(&buf[..n], b"now");
    soon(peer.send_to(b"yes", from)).await.expect("a send");
    assert_eq!(soon(socket.recv(&mut buf)).await.expect("an answer"), 3);
    format!("{told} refusals told once each, then an answer by the same socket")
}

async fn full_queue() -> String {
    const COUNT: u32 = 100;
    sh("tc qdisc add dev lo root handle 1: tbf rate 1mbit burst 2kb limit 30kb \
        && tc qdisc add dev lo parent 1:1 handle 10: pfifo limit 10");
    let receiver = UdpSocket::bind((HERE, 0)).await.expect("a socket");
    let socket = std::net::UdpSocket::bind((HERE, 0)).expect("a socket");
    let small: libc::c_int = 4096;
    // SAFETY: the option's value is a live integer of the size given.
    let set = unsafe {
        let value = (&raw const small).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, value, 4)
    };
    assert_eq!(set, 0);
    let sender = UdpSocket::from_std(socket).expect("a socket");
    sender.connect(receiver.local_addr().expect("an address")).await.expect("connected");
    let handle = Handle::<()>::try_current().expect("a loop that runs");
    let (began, cpu_before, turns) = (Instant::now(), cpu(), handle.stats().turns);
    let waits = Cell::new(0);
    let sending = async {
        let mut datagram = [0; 1000];
        for n in 0..COUNT {
            datagram[..4].copy_from_slice(&n.to_be_bytes());
            if sender.try_send(&datagram).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
                waits.set(waits.get() + 1);
                soon(sender.send(&datagram)).await.expect("room in time");
            }
        }
    };
    let receiving = async {
        let mut buf = [0; 1500];
        for n in 0..COUNT {
            assert_eq!(soon(receiver.recv(&mut buf)).await.expect("a datagram"), 1000);
            assert_eq!(buf[..4], n.to_be_bytes(), "none lost, and in order");
        }
    };
    futures::join!(sending, receiving);
    let took = began.elapsed();
    assert!(waits.get() > COUNT / 4, "{} waits: the queue was never full", waits.get());
    assert!(took > Duration::from_millis(400), "{took:?}: not held back");
    let share = (cpu() - cpu_before).as_secs_f64() / took.as_secs_f64();
    let turns = handle.stats().turns - turns;
    assert!(
        share < 0.15 && turns < took.as_millis() as u64 + 5 * u64::from(COUNT),
        "{share}, {turns} turns"
    );
    sh("tc qdisc del dev lo root");
    let full = waits.get();
    format!(
        "{COUNT} datagrams at 1 Mbit/s in {took:.1?}, {full} waits, {turns} turns, {:.0} % CPU",
        share * 100.0
    )
}

/// Sends bytes one way on a connection and compares what arrives; runs a fault in the midst.
async fn transfer(bytes: usize, fault: impl AsyncFnOnce()) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = pair().await;
    let pattern = |at: usize| (at.wrapping_mul(2_654_435_761) >> 11) as u8;
    let began = Rc::new(Cell::new(false));
    let sending = {
        let began = began.clone();
        async move {
            let mut at = 0;
            while at < bytes {
                let part: Vec<u8> = (at..bytes.min(at + 16 * 1024)).map(pattern).collect();
                timeout(SOON, near.write_all(&part)).await.expect("room, or an error")?;
                at += part.len();
                began.set(at > bytes / 8);
            }
            near.shutdown().await
        }
    };
    let receiving = async move {
        let mut at = 0;
        let mut buf = vec![0; 64 * 1024];
        loop {
            let n = timeout(SOON, far.read(&mut buf)).await.expect("bytes, or an error")?;
            if n == 0 {
                break;
            }
            for byte in &buf[..n] {
                assert_eq!(*byte, pattern(at), "byte {at}");
                at += 1;
            }
        }
        assert_eq!(at, bytes, "an end before the last byte");
        Ok(())
    };
    let (sending, receiving) = (spawn(sending), spawn(receiving));
    while !began.get() && !sending.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    fault().await;
    let both = (sending.await.expect("no panic"), receiving.await.expect("no panic"));
    (both.0, both.1)
}

async fn loss() -> String {
    sh("ip link set lo mtu 1500");
    filter("ip protocol tcp numgen random mod 100 < 10 drop;");
    let began = Instant::now();
    let (sent, received) = transfer(1 << 20, async || {}).await;
    sent.expect("sent");
    received.expect("received");
    let took = began.elapsed();
    unfilter();
    format!("1 MiB with one packet of ten lost, byte-equal, in {took:.1?}")
}

/// All but the resets themselves.
const RESET: &str = "tcp flags & rst == rst accept; meta l4proto tcp reject with tcp reset;";

async fn resets() -> String {
    let (near, far) = pair().await;
    let sent = Rc::new(Cell::new(0));
    let sending = spawn({
        let sent = sent.clone();
        async move {
            loop {
                match near.write(&[b's'; 16 * 1024]).await {
                    Ok(n) => sent.set(sent.get() + n),
                    // Once as what it is; then it is a broken pipe.
                    Err(error) => {
                        break (error.kind(), near.write(b"x").await.map_err(|e| e.kind()));
                    }
                }
            }
        }
    });
    let came = Rc::new(Cell::new(0));
    let receiving = spawn({
        let came = came.clone();
        async move {
            let mut buf = [0; 16 * 1024];
            loop {
                match far.read(&mut buf).await {
                    Ok(0) => panic!("the end of a stream that was reset"),
                    Ok(n) => came.set(came.get() + n),
                    Err(error) => {
                        let rest = [far.read(&mut buf).await, far.read(&mut buf).await];
                        break (error.kind(), rest.map(|rest| rest.map_err(|e| e.kind())));
                    }
                }
            }
        }
    });
    while sent.get() < 1 << 20 {
        sleep(Duration::from_millis(1)).await;
    }
    filter(RESET);
    let (kind, then) = soon(sending).await.expect("no panic");
    assert_eq!((kind, then), (ErrorKind::ConnectionReset, Err(ErrorKind::BrokenPipe)));
    // The other end sent nothing, so nothing told it: it waits, as TCP has it, and quietly.
    quiet(Duration::from_millis(300)).await;
    let silent = !receiving.is_finished();
    if silent {
        drop(soon(receiving.cancel()).await);
    }
    unfilter();
    // It learns of it as it sends.
    let (near, far) = pair().await;
    let far = Rc::new(far);
    let reading = spawn({
        let far = far.clone();
        async move {
            let first = far.read(&mut [0; 8]).await.map_err(|error| error.kind());
            (first, far.read(&mut [0; 8]).await.map_err(|error| error.kind()))
        }
    });
    sleep(Duration::from_millis(5)).await;
    filter(RESET);
    soon(far.write_all(b"x")).await.expect("taken by the system");
    let told = soon(reading).await.expect("no panic");
    assert_eq!(told, (Err(ErrorKind::ConnectionReset), Ok(0)), "told once, then stable");
    unfilter();
    quiet(Duration::from_millis(300)).await;
    drop((near, far));
    let (near, far) = pair().await;
    works(&near, &far).await;
    "told once as reset to who writes and to who reads, then a new connection works".into()
}

async fn small_packets() -> String {
    sh("ip link set lo mtu 576");
    let (sent, received) = transfer(4 << 20, async || {}).await;
    sent.expect("sent");
    received.expect("received");
    let (one, other) = (
        UdpSocket::bind((HERE, 0)).await.expect("a socket"),
        UdpSocket::bind((HERE, 0)).await.expect("a socket"),
    );
    let to = other.local_addr().expect("an address");
    let datagram: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    soon(one.send_to(&datagram, to)).await.expect("a send");
    let mut buf = vec![0; 30_000];
    let n = soon(other.recv(&mut buf)).await.expect("a datagram");
    assert_eq!(buf[..n], datagram, "in pieces, and whole");
    "4 MiB byte-equal in packets of 576 bytes, and a datagram of 20,000".into()
}

async fn link_down() -> String {
    let down = Duration::from_millis(800);
    let began = Instant::now();
    let (sent, received) = transfer(256 << 20, async || {
        sh("ip link set lo down");
        sleep(Duration::from_millis(100)).await;
        quiet(down).await;
        sh("ip link set lo up");
    })
    .await;
    let took = began.elapsed();
    assert!(took > down, "{took:?}: it was over before");
    let kinds = [sent, received].map(|result| result.map_err(|error| error.kind()));
    assert_eq!(kinds, [Ok(()), Ok(())], "resumes, as TCP goes on trying");
    let (near, far) = pair().await;
    works(&near, &far).await;
    format!("256 MiB byte-equal over a link that was down for {down:?}, in {took:.1?}")
}

/// Standard output is a pipe that nobody reads: only who writes to it waits.
async fn output_nobody_reads() -> String {
    let stdout = loopline::io::stdout();
    let written = Rc::new(Cell::new(0));
    let writer = spawn({
        let written = written.clone();
        async move {
            loop {
                let Ok(n) = stdout.write(&[b'.'; 4096]).await else { return };
                written.set(written.get() + n);
            }
        }
    });
    sleep(Duration::from_millis(100)).await;
    let before = written.get();
    quiet(Duration::from_millis(500)).await;
    assert_eq!(written.get(), before, "a full pipe takes no more");
    assert!(!writer.is_finished(), "it waits");
    drop(soon(writer.cancel()).await);
    SEEN.with(|seen| {
        let mut seen = seen.borrow_mut();
        let (late, echo) = (worst_percent(&mut seen.0), worst_percent(&mut seen.1));
        assert!(late < 0.25 && echo < 0.25, "bystanders: {late:.3} and {echo:.3} s");
        eprintln!(
            "measured: full after {before} bytes; bystanders' p99 {:.1} and {:.1} ms",
            late * 1e3,
            echo * 1e3
        );
    });
    // Nothing can be said by the pipe.
    std::process::exit(0)
}

fn folder() -> std::path::PathBuf {
    std::env::var_os("PROBE_FOLDER").expect("PROBE_FOLDER").into()
}

/// The folder is a file system of 64 KiB.
async fn full_disk() -> String {
    use loopline::fs;

    let folder = folder();
    let error = soon(fs::write(folder.join("big"), vec![1; 1 << 20])).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let mut file = fs::File::create(folder.join("more")).await.expect("a file");
    let _ = soon(file.write_all(&vec![1; 1 << 20])).await;
    let error = soon(file.flush()).await.expect_err("told once");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    soon(file.flush()).await.expect("and not again");
    // Others on the same loop, and the same pool, do not hear of it.
    let elsewhere = std::env::temp_dir().join(format!("loopline-probe-{}", std::process::id()));
    soon(fs::write(&elsewhere, b"room")).await.expect("room elsewhere");
    soon(fs::remove_file(&elsewhere)).await.expect("removed");
    drop(file);
    quiet(Duration::from_millis(200)).await;
    // Room again.
    for name in ["big", "more"] {
        soon(fs::remove_file(folder.join(name))).await.expect("removed");
    }
    soon(fs::write(folder.join("small"), b"room")).await.expect("room again");
    assert_eq!(soon(fs::read(folder.join("small"))).await.expect("read"), b"room");
    "no room is told once to whom it concerns; room again is used".into()
}

/// Writes to the folder's file `broken` fail with EIO, by injection.
async fn broken_disk() -> String {
    use loopline::fs;

    let folder = folder();
    let error = soon(fs::write(folder.join("broken"), b"lost")).await.expect_err("a broken disk");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    let mut file = fs::File::create(folder.join("broken")).await.expect("a file");
    let _ = soon(file.write_all(b"lost")).await;
    let error = soon(file.flush()).await.expect_err("told once");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    soon(file.flush()).await.expect("and not again");
    soon(fs::write(folder.join("fine"), b"kept")).await.expect("another file");
    assert_eq!(soon(fs::read(folder.join("fine"))).await.expect("read"), b"kept");
    "EIO is told once to whom it concerns".into()
}
