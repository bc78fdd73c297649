//! One protocol three times, as callbacks, as tasks and mixed: what happens, and in which order, is the same.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use asynchronous_codec::{FramedRead, LinesCodec};
use futures::StreamExt;
use loopline::callback::{Channel, Next, Sender, channel};
use loopline::net::UnixStream;
use loopline::time::{self, Timer, interval_at, sleep};
use loopline::{Control, Handle};
use support::{closes_clean, paused};

const MS: Duration = Duration::from_millis(1);

/// What a server of the protocol keeps: accounts, who is connected, and all that happened.
#[derive(Default)]
struct State {
    accounts: BTreeMap<String, i64>,
    clients: BTreeMap<usize, Rc<UnixStream>>,
    trace: Vec<String>,
    /// What goes on until the server is told to end.
    running: Vec<Control>,
}

impl State {
    fn note(&mut self, text: impl Into<String>) {
        let text = format!(
            "{:?}: {}",
            time::now() - START.with(|start| start.borrow().unwrap()),
            text.into()
        );
        self.trace.push(text);
    }

    /// Handles a request. `None`: the client said that it goes.
    fn request(&mut self, client: usize, line: &str) -> Option<String> {
        self.note(format!("{client} asks {line}"));
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["add", name, amount] => {
                let balance = self.accounts.entry(name.to_owned()).or_default();
                *balance += amount.parse::<i64>().ok()?;
                Some(format!("{name} {balance}\n"))
            }
            ["bye"] => None,
            _ => Some("what?\n".to_owned()),
        }
    }

    fn left(&mut self, client: usize) {
        self.note(format!("{client} leaves"));
        self.clients.remove(&client);
    }

    /// Once a period: tells all who are connected how many they are.
    fn beat(&mut self, n: u64) -> Vec<(Rc<UnixStream>, String)> {
        self.note(format!("beat {n} for {}", self.clients.len()));
        let text = format!("beat {n}\n");
        self.clients.values().map(|client| (client.clone(), text.clone())).collect()
    }

    /// What the administrator says by the channel. `false`: to end.
    fn order(&mut self, order: &str) -> bool {
        self.note(format!("order {order}"));
        if order == "end" {
            for control in self.running.drain(..) {
                control.cancel();
            }
            return false;
        }
        self.accounts.remove(order);
        true
    }
}

thread_local! {
    static START: RefCell<Option<std::time::Instant>> = const { RefCell::new(None) };
}

/// Small texts, for which there is always room.
fn reply(stream: &UnixStream, text: &str) {
    assert_eq!(stream.try_write(text.as_bytes()).unwrap(), text.len());
}

/// How each part of the server is written.
#[derive(Clone, Copy)]
struct Style {
    clients: fn(Handle<State>, usize, Rc<UnixStream>),
    beats: fn(Handle<State>) -> Control,
    orders: fn(Handle<State>, Channel<String>),
}

mod by_callbacks {
    use super::*;

    pub(super) fn client(handle: Handle<State>, n: usize, stream: Rc<UnixStream>) {
        let lines = FramedRead::new(Shared(stream.clone()), LinesCodec)
            .map(Some)
            .chain(futures::stream::iter([None]));
        let insert = handle.insert(lines.boxed_local(), move |line, _source, state: &mut State| {
            let answer = line.and_then(|line| state.request(n, line.unwrap().trim_end()));
            let Some(answer) = answer else {
                state.left(n);
                return Next::Stop;
            };
            reply(&stream, &answer);
            Next::Keep
        });
        drop(insert.unwrap());
    }

    pub(super) fn beats(handle: Handle<State>) -> Control {
        let mut n = 0;
        let insert = handle.insert(Timer::every(10 * MS), move |_, _, state: &mut State| {
            n += 1;
            state.beat(n).iter().for_each(|(stream, text)| reply(stream, text));
            Next::Keep
        });
        insert.unwrap().control()
    }

    pub(super) fn orders(handle: Handle<State>, orders: Channel<String>) {
        let insert =
            handle.insert(
                orders,
                |order, _, state: &mut State| {
                    if state.order(&order) { Next::Keep } else { Next::Stop }
                },
            );
        drop(insert.unwrap());
    }
}

mod by_tasks {
    use super::*;

    pub(super) fn client(handle: Handle<State>, n: usize, stream: Rc<UnixStream>) {
        handle.spawn(async move {
            let mut lines = FramedRead::new(Shared(stream.clone()), LinesCodec);
            while let Some(line) = lines.next().await {
                let line = line.unwrap();
                let answer = handle.with(|state| state.request(n, line.trim_end()));
                let Some(answer) = answer else { break };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            handle.with(|state| state.left(n));
        });
    }

    pub(super) fn beats(handle: Handle<State>) -> Control {
        let beats = handle.spawn(async move {
            let mut interval = interval_at(time::now() + 10 * MS, 10 * MS);
            for n in 1.. {
                interval.tick().await;
                for (stream, text) in handle.with(|state| state.beat(n)) {
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        beats.control()
    }

    pub(super) fn orders(handle: Handle<State>, mut orders: Channel<String>) {
        handle.spawn(async move {
            while let Some(order) = orders.next().await {
                if !handle.with(|state| state.order(&order)) {
                    break;
                }
            }
        });
    }
}

/// A stream that its reader and the rest of the server share.
struct Shared(Rc<UnixStream>);

impl futures::AsyncRead for Shared {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut &*self.0).poll_read(cx, buf)
    }
}

/// The clients, and the administrator: always the same, each step when the one before was answered.
async fn script(handle: Handle<State>, style: Style, orders: Sender<String>) {
    let mut ends = Vec::new();
    for n in 0..3 {
        let (near, far) = UnixStream::pair().unwrap();
        let near = Rc::new(near);
        handle.with(|state| drop(state.clients.insert(n, near.clone())));
        (style.clients)(handle, n, near);
        ends.push(far);
    }
    let ask = async |n: usize, line: &str| {
        ends[n].write_all(line.as_bytes()).await.unwrap();
        let mut buf = [0; 256];
        let len = ends[n].read(&mut buf).await.unwrap();
        let answer = String::from_utf8_lossy(&buf[..len]).trim_end().replace('\n', ", ");
        handle.with(|state| state.note(format!("{n} hears {answer}")));
    };
    ask(0, "add rice 5\n").await;
    ask(1, "add rice 2\n").await;
    sleep(15 * MS).await;
    // Two requests in one packet, behind a beat that waits to be read.
    ask(2, "add tea 1\nadd rice -4\n").await;
    sleep(MS).await;
    orders.send("rice".to_owned()).unwrap();
    orders.send("nothing".to_owned()).unwrap();
    sleep(MS).await;
    ask(1, "add rice 1\n").await;
    ends[0].write_all(b"bye\n").await.unwrap();
    sleep(10 * MS).await;
    // Hangs up without a word.
    ends[1].shutdown().await.unwrap();
    sleep(5 * MS).await;
    ask(2, "nonsense\n").await;
    ends[2].write_all(b"add tea 1").await.unwrap();
    sleep(10 * MS).await;
    ends[2].write_all(b"\nbye\n").await.unwrap();
    sleep(MS).await;
    orders.send("end".to_owned()).unwrap();
}

fn trace(style: Style) -> Vec<String> {
    let mut event_loop = paused::<State>();
    let handle = event_loop.handle();
    let mut state = State::default();
    let start = event_loop.run_until(&mut state, async { time::now() }).unwrap();
    START.set(Some(start));
    let (sender, orders) = channel();
    (style.orders)(handle, orders);
    state.running.push((style.beats)(handle));
    handle.spawn(async move { script(handle, style, sender).await });
    event_loop.run(&mut state).unwrap();
    assert!(state.clients.is_empty());
    closes_clean(event_loop);
    state.trace
}

/// What happens, whoever writes it how.
const WANTED: &[&str] = &[
    "0ns: 0 asks add rice 5",
    "0ns: 0 hears rice 5",
    "0ns: 1 asks add rice 2",
    "0ns: 1 hears rice 7",
    "10ms: beat 1 for 3",
    "15ms: 2 hears beat 1",
    "15ms: 2 asks add tea 1",
    "15ms: 2 asks add rice -4",
    "16ms: order rice",
    "16ms: order nothing",
    "17ms: 1 hears beat 1",
    "17ms: 1 asks add rice 1",
    "17ms: 0 asks bye",
    "17ms: 0 leaves",
    "20ms: beat 2 for 2",
    "27ms: 1 leaves",
    "30ms: beat 3 for 1",
    "32ms: 2 asks nonsense",
    "32ms: 2 hears tea 1, rice 3, beat 2, beat 3, what?",
    "40ms: beat 4 for 1",
    "42ms: 2 asks add tea 1",
    "42ms: 2 asks bye",
    "42ms: 2 leaves",
    "43ms: order end",
];

// contract 16, 29, 42
#[test]
fn callbacks_tasks_and_a_mix_of_both_leave_one_identical_trace() {
    let callbacks = Style {
        clients: by_callbacks::client,
        beats: by_callbacks::beats,
        orders: by_callbacks::orders,
    };
    let tasks =
        Style { clients: by_tasks::client, beats: by_tasks::beats, orders: by_tasks::orders };
    assert_eq!(trace(callbacks), WANTED);
    assert_eq!(trace(tasks), WANTED);
    for mix in 1..7 {
        let pick = |bit: u32| mix & (1 << bit) != 0;
        let mixed = Style {
            clients: if pick(0) { callbacks.clients } else { tasks.clients },
            beats: if pick(1) { callbacks.beats } else { tasks.beats },
            orders: if pick(2) { callbacks.orders } else { tasks.orders },
        };
        assert_eq!(trace(mixed), WANTED, "mix {mix}");
    }
}
