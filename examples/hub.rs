//! A hub: clients subscribe to topics and publish to them. Shows a scope whose children borrow the
//! connection, a broadcast that tells who was too slow what it missed, and a lock held across an await.
//!
//! ```text
//! cargo run --release --example hub -- 127.0.0.1:7000
//! nc 127.0.0.1 7000     # type: SUB news
//! nc 127.0.0.1 7000     # type: PUB news it rains
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use loopline::io::Lines;
use loopline::net::{TcpListener, TcpStream};
use loopline::sync::broadcast::error::RecvError;
use loopline::sync::{Mutex, broadcast};
use loopline::try_scope;

/// What a subscriber may fall behind before it misses messages.
const BEHIND_MAX: usize = 64;

/// The topics somebody subscribes to.
#[derive(Default)]
struct Topics(RefCell<HashMap<String, broadcast::Sender<Rc<str>>>>);

impl Topics {
    fn subscribe(&self, topic: &str) -> broadcast::Receiver<Rc<str>> {
        let mut topics = self.0.borrow_mut();
        topics.retain(|_, sender| sender.receiver_count() > 0);
        topics.entry(topic.into()).or_insert_with(|| broadcast::channel(BEHIND_MAX).0).subscribe()
    }

    /// Returns how many subscribers will see it.
    fn publish(&self, topic: &str, text: &str) -> usize {
        let sender = self.0.borrow().get(topic).cloned();
        sender.and_then(|sender| sender.send(text.into()).ok()).unwrap_or(0)
    }
}

#[loopline::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let topics = Rc::new(Topics::default());
    loop {
        let (stream, peer) = listener.accept().await?;
        let topics = topics.clone();
        loopline::spawn(async move {
            if let Err(error) = serve(&stream, &topics).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn serve(stream: &TcpStream, topics: &Topics) -> io::Result<()> {
    // One line at a time: a write that has to wait must not be interrupted by another child's.
    let output = Mutex::new(stream);
    // The children borrow `output`. When the client has gone they are given no time to end.
    let ended = try_scope(async |s| {
        let mut lines = Lines::new(stream);
        while let Some(line) = lines.next().await.transpose()? {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("SUB"), Some(topic), None) => {
                    let messages = topics.subscribe(topic);
                    let topic = topic.to_owned();
                    s.try_spawn(pass_on(messages, topic, &output));
                }
                (Some("PUB"), Some(topic), Some(text)) => {
                    let count = topics.publish(topic, text);
                    say(&output, &format!("to {count}\n")).await?;
                }
                _ => say(&output, "say SUB topic, or PUB topic text\n").await?,
            }
        }
        Ok(())
    });
    ended.grace(Duration::ZERO).await.output
}

/// Writes what is published to a topic, until the client has gone.
async fn pass_on(
    mut messages: broadcast::Receiver<Rc<str>>,
    topic: String,
    output: &Mutex<&TcpStream>,
) -> io::Result<()> {
    loop {
        match messages.recv().await {
            Ok(text) => say(output, &format!("{topic}: {text}\n")).await?,
            Err(RecvError::Lagged(missed)) => {
                say(output, &format!("{topic}: you missed {missed}\n")).await?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn say(output: &Mutex<&TcpStream>, line: &str) -> io::Result<()> {
    output.lock().await.write_all(line.as_bytes()).await
}
