//! A chat room: what one client says, all others hear. Shows tasks that share one `&mut` state
//! without a lock or a `RefCell`, and what to do about a client that never reads.
//!
//! ```text
//! cargo run --release --example chat -- 127.0.0.1:7000
//! nc 127.0.0.1 7000     # in two terminals or more
//! ```

use std::collections::HashMap;
use std::io;
use std::pin::pin;

use futures::future::select;
use loopline::callback::{Ping, PingSource, ping};
use loopline::io::Lines;
use loopline::net::{TcpListener, TcpStream};
use loopline::{Control, EventLoop, Handle, TaskId};

/// What may wait for a client that reads slowly; one that falls further behind is dropped.
const BACKLOG_MAX: usize = 256 * 1024;
/// What a client may send without ending the line.
const LINE_MAX: usize = 64 * 1024;

/// The state of the loop: who is there.
#[derive(Default)]
struct Room {
    clients: HashMap<TaskId, Client>,
}

struct Client {
    task: Control,
    /// What others said, and the client's task has not taken to write yet.
    backlog: Vec<u8>,
    /// Tells that task that there is something to write.
    news: Ping,
}

impl Room {
    /// Passes a line on to all others. Returns those whose backlog would grow too big.
    fn say(&mut self, speaker: TaskId, line: &[u8]) -> Vec<Control> {
        let mut too_slow = Vec::new();
        for (_, client) in self.clients.iter_mut().filter(|(id, _)| **id != speaker) {
            if client.backlog.len() + line.len() > BACKLOG_MAX {
                too_slow.push(client.task);
                continue;
            }
            if client.backlog.is_empty() {
                client.news.ping();
            }
            client.backlog.extend_from_slice(line);
        }
        too_slow
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let mut event_loop = EventLoop::<Room>::new()?;
    let handle = event_loop.handle();
    event_loop.run_until(&mut Room::default(), listen(handle, address))?
}

async fn listen(handle: Handle<Room>, address: String) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        handle.spawn(async move {
            let (membership, news) = Membership::enter(handle);
            let hearing = pin!(hear(&membership, &stream));
            let telling = pin!(tell(&membership, &stream, news));
            // One task reads and writes. Whichever ends first, by an error too, ends the client.
            select(hearing, telling).await;
        });
    }
}

/// Reads lines and says them to the room, until the client ends.
async fn hear(membership: &Membership, stream: &TcpStream) -> io::Result<()> {
    let mut lines = Lines::with_limit(stream, LINE_MAX);
    while let Some(line) = lines.next().await {
        membership.say(format!("{}\n", line?).as_bytes());
    }
    Ok(())
}

/// Writes what the others say, as fast as the client reads.
async fn tell(membership: &Membership, stream: &TcpStream, mut news: PingSource) -> io::Result<()> {
    while news.next().await.is_some() {
        // The closure gives the state back before the await: the borrow cannot leak.
        let backlog = membership.take_backlog();
        stream.write_all(&backlog).await?;
    }
    Ok(())
}

/// A client's place in the room, given up when its task ends, in whatever way that comes about.
struct Membership {
    handle: Handle<Room>,
    task: Control,
}

impl Membership {
    fn enter(handle: Handle<Room>) -> (Self, PingSource) {
        let (news, heard) = ping();
        let task = handle.current().expect("called in a task");
        let client = Client { task, backlog: Vec::new(), news };
        handle.with(|room| room.clients.insert(task.id(), client));
        (Self { handle, task }, heard)
    }

    fn say(&self, line: &[u8]) {
        let too_slow = self.handle.with(|room| room.say(self.task.id(), line));
        // Only now that the room is not borrowed: ending a task drops its `Membership`.
        for task in too_slow {
            task.cancel();
        }
    }

    fn take_backlog(&self) -> Vec<u8> {
        self.handle.with(|room| match room.clients.get_mut(&self.task.id()) {
            Some(client) => std::mem::take(&mut client.backlog),
            None => Vec::new(),
        })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // `try_with`, because a destructor must not panic: when the loop itself ends, nobody lends
        // the room any more, and there is nothing left to do.
        let _ = self.handle.try_with(|room| room.clients.remove(&self.task.id()));
    }
}
