//! A DNS forwarder: passes queries on to a server under ids of its own, and answers back.
//!
//! ```text
//! cargo run --release --example udp_dns_forwarder -- 127.0.0.1:5300 9.9.9.9:53
//! dig @127.0.0.1 -p 5300 example.com
//! ```
//!
//! One task a query, which waits for its answer or for two seconds; then the client is told so
//! (SERVFAIL). A real one would take ids and ports that nobody can guess, and TCP for long answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use loopline::net::UdpSocket;
use loopline::sync::oneshot;
use loopline::time::timeout;

const LIMIT: Duration = Duration::from_secs(2);
/// A header of a DNS message: the id, flags, and four counts.
const HEADER: usize = 12;

struct Forwarder {
    clients: UdpSocket,
    upstream: UdpSocket,
    /// Who waits for the answer to each query under way, by our id.
    waiting: RefCell<HashMap<u16, oneshot::Sender<Vec<u8>>>>,
    /// The id that was given out last.
    last: Cell<u16>,
}

#[loopline::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: udp_dns_forwarder LISTEN UPSTREAM, both as 127.0.0.1:5300");
        std::process::exit(2);
    };
    let clients = UdpSocket::bind(listen).await?;
    let upstream: SocketAddr = upstream.parse().map_err(io::Error::other)?;
    let own = if upstream.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).await?;
    // From here on it hears this server only, and of its refusals.
    socket.connect(upstream).await?;
    println!("listening on {}", clients.local_addr()?);
    let forwarder = Rc::new(Forwarder {
        clients,
        upstream: socket,
        waiting: RefCell::default(),
        last: Cell::new(0),
    });
    loopline::spawn(take_answers(forwarder.clone()));
    let mut buf = vec![0; 65_535];
    loop {
        let (n, client) = match forwarder.clients.recv_from(&mut buf).await {
            Ok(received) => received,
            Err(error) => {
                eprintln!("clients: {error}");
                continue;
            }
        };
        // Shorter is no query, empty datagrams included.
        if n >= HEADER {
            loopline::spawn(serve(forwarder.clone(), buf[..n].to_vec(), client));
        }
    }
}

/// Hands each answer to the task that waits for it.
async fn take_answers(forwarder: Rc<Forwarder>) {
    let mut buf = vec![0; 65_535];
    loop {
        match forwarder.upstream.recv(&mut buf).await {
            Ok(n) if n >= HEADER => {
                let id = u16::from_be_bytes([buf[0], buf[1]]);
                let waiting = forwarder.waiting.borrow_mut().remove(&id);
                if let Some(waiting) = waiting {
                    // Nobody, if it came too late.
                    let _ = waiting.send(buf[..n].to_vec());
                }
            }
            Ok(_) => {}
            // A refusal, say, while the server restarts: told once, and the socket goes on.
            Err(error) => eprintln!("upstream: {error}"),
        }
    }
}

/// Asks for one client.
async fn serve(forwarder: Rc<Forwarder>, mut query: Vec<u8>, client: SocketAddr) {
    let theirs = [query[0], query[1]];
    let (sender, answer) = oneshot::channel();
    let Some(ours) = forwarder.enter(sender) else {
        return; // 65,536 under way: the client will ask again
    };
    query[..2].copy_from_slice(&ours.to_be_bytes());
    let sent = forwarder.upstream.send(&query).await;
    let answered = match sent {
        Ok(_) => timeout(LIMIT, answer).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    let mut message = answered.unwrap_or_else(|| {
        forwarder.waiting.borrow_mut().remove(&ours);
        failure(query)
    });
    message[..2].copy_from_slice(&theirs);
    if let Err(error) = forwarder.clients.send_to(&message, client).await {
        eprintln!("{client}: {error}");
    }
}

impl Forwarder {
    /// Takes the next id that is free.
    fn enter(&self, sender: oneshot::Sender<Vec<u8>>) -> Option<u16> {
        let mut waiting = self.waiting.borrow_mut();
        let id = (0..=u16::MAX)
            .map(|n| self.last.get().wrapping_add(1).wrapping_add(n))
            .find(|id| !waiting.contains_key(id))?;
        self.last.set(id);
        waiting.insert(id, sender);
        Some(id)
    }
}

/// Makes the answer to a query that failed: the same, marked as an answer (QR) and SERVFAIL.
fn failure(mut query: Vec<u8>) -> Vec<u8> {
    query[2] |= 0x80;
    query[3] = (query[3] & 0xf0) | 2;
    query
}
