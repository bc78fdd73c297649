//! Two processes that accept from one listener.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use loopline::net::TcpListener;
use loopline::time::sleep;
use loopline::{EventLoop, spawn};

use crate::bystanders::quiet;
use crate::tools::{HERE, soon};

pub async fn shared_listener() -> String {
    const CLIENTS: usize = 300;
    let listener = std::net::TcpListener::bind((HERE, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut child = start_child(&listener);
    let listener = TcpListener::from_std(listener).expect("a listener");
    let accepting = spawn(accept_and_say(listener, b'p'));
    let counts = who_take(CLIENTS, address).await;
    // Both wait, and both may have lost races.
    quiet(Duration::from_millis(300)).await;
    let child_cpu = cpu_of(child.id());
    sleep(Duration::from_millis(500)).await;
    assert!(cpu_of(child.id()) - child_cpu <= 0.04, "the child spins");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert_eq!(who_take(20, address).await, [20, 0], "alone, it takes all");
    drop(soon(accepting.cancel()).await);
    format!("{CLIENTS} clients, {counts:?} taken by each, 20 by the one that was left")
}

fn start_child(listener: &std::net::TcpListener) -> Child {
    let own = std::env::current_exe().expect("a program");
    let mut child = std::process::Command::new(own)
        .arg("shared_listener_child")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().expect("a duplicate"))))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("a child that is ready");
    child
}

/// Connects that often, one after the other; returns how many the parent took, and how many the child.
async fn who_take(clients: usize, address: SocketAddr) -> [usize; 2] {
    let clients = thread::spawn(move || {
        let mut counts = [0, 0];
        for _ in 0..clients {
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
    clients.join().expect("no panic")
}

async fn accept_and_say(listener: TcpListener, who: u8) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(&[who]).await.expect("a write");
    }
}

pub fn shared_listener_child() {
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
