//! Sources made of sources: one event type over a socket and a timer, children that are replaced, mapping,
//! filtering, lines; as the book of any callback loop would have it, by plain streams.
#![cfg(all(unix, feature = "net"))]

#[path = "../examples/composed_source.rs"]
#[allow(dead_code)] // its `main`
mod composed_source;
mod support;
#[path = "support/unix.rs"]
mod unix;

use std::cell::RefCell;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asynchronous_codec::{Framed, LinesCodec};
use composed_source::{Event, Reconnecting};
use futures::io::{AsyncBufReadExt, BufReader};
use futures::{StreamExt, future, stream};
use loopline::callback::{self, Channel, Next, Stream, channel, controlled, once};
use loopline::io::{FdSource, Interest};
use loopline::net::{UnixListener, UnixStream};
use loopline::time::{self, Timer, sleep};
use support::{closes_clean, event_loop, paused};
use unix::Folder;

/// What a `Reconnecting` told, and after how many milliseconds.
fn entry(event: &Event, at: Duration) -> (u128, String) {
    let text = match event {
        Event::Connected => "connected".to_owned(),
        Event::Line(line) => line.clone(),
        Event::Lost(error, pause) => format!("{:?}, again in {pause:?}", error.kind()),
    };
    (at.as_millis(), text)
}

// contract 7, 16
#[test]
fn a_socket_with_a_timer_and_retries_is_one_source_with_one_type_of_event() {
    let folder = Folder::new("reconnecting");
    let path = folder.path("server");
    let mut event_loop = paused::<Vec<(u128, String)>>();
    let handle = event_loop.handle();
    let start = event_loop.run_until(&mut Vec::new(), async { time::now() }).unwrap();
    let to = path.clone();
    let source = Reconnecting::new(move || {
        let to = to.clone();
        Box::pin(async move { UnixStream::connect(to).await })
    });
    let insert = handle.insert(source, move |event, _source, log: &mut Vec<_>| {
        log.push(entry(&event, time::now() - start));
        if matches!(event, Event::Line(line) if line == "three") { Next::Stop } else { Next::Keep }
    });
    let join = insert.unwrap();
    handle.spawn(async move {
        sleep(Duration::from_millis(500)).await;
        let listener = UnixListener::bind(&path).unwrap();
        for lines in ["one\ntwo\n", "thr"] {
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(lines.as_bytes()).await.unwrap();
        }
        let (stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"three\n").await.unwrap();
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    let log: Vec<_> = log.iter().map(|(at, text)| (*at, text.as_str())).collect();
    let wanted = [
        (0, "NotFound, again in 100ms"),
        (100, "NotFound, again in 200ms"),
        (300, "NotFound, again in 400ms"),
        (700, "connected"),
        (700, "one"),
        (700, "two"),
        // A line came, so the pauses begin anew.
        (700, "UnexpectedEof, again in 100ms"),
        (800, "connected"),
        // Half a line is none, and so the pauses go on.
        (800, "UnexpectedEof, again in 200ms"),
        (1000, "connected"),
        (1000, "three"),
    ];
    assert_eq!(log, wanted);
    drop(event_loop.run_until(&mut Vec::new(), join).unwrap().unwrap());
    assert_eq!(handle.stats().registrations, 0, "its parts went with it");
    closes_clean(event_loop);
}

// contract 16, 20
#[test]
fn a_composed_source_cancelled_in_any_of_its_states_leaves_nothing() {
    for wait in [0, 50, 150, 450] {
        let folder = Folder::new(&format!("reconnecting-{wait}"));
        let path = folder.path("server");
        let mut event_loop = paused::<()>();
        let handle = event_loop.handle();
        let to = path.clone();
        let source = Reconnecting::new(move || {
            let to = to.clone();
            Box::pin(async move { UnixStream::connect(to).await })
        });
        let control = handle.insert(source, |_, _, ()| Next::Keep).unwrap().control();
        handle.spawn(async move {
            sleep(Duration::from_millis(200)).await;
            let listener = UnixListener::bind(&path).unwrap();
            // Whether or not somebody comes: the connection lasts as long as this.
            let _ = time::timeout(Duration::from_secs(1), listener.accept()).await;
        });
        handle.spawn(async move {
            sleep(Duration::from_millis(wait)).await;
            assert!(control.cancel());
        });
        event_loop.run(&mut ()).unwrap();
        closes_clean(event_loop);
    }
}

/// A child that may be put in, replaced and taken out; without one there are no events, and no end.
struct Transient<Src>(Option<Src>);

impl<Src: Stream + Unpin> Stream for Transient<Src> {
    type Item = Option<Src::Item>;

    /// `Some(None)`: the child has ended, and is out.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(child) = &mut self.0 else { return Poll::Pending };
        let event = std::task::ready!(Pin::new(child).poll_next(cx));
        if event.is_none() {
            self.0 = None;
        }
        Poll::Ready(Some(event))
    }
}

// contract 16, 17; fault 79
#[test]
fn a_transient_child_is_taken_out_replaced_and_put_in_from_its_callback_and_from_outside() {
    let mut event_loop = event_loop::<Vec<Option<u32>>>();
    let handle = event_loop.handle();
    let mut channels: Vec<(_, Option<Channel<u32>>)> = Vec::new();
    for n in 0..3 {
        let (sender, receiver) = channel();
        (n * 10..n * 10 + 3).for_each(|n| sender.send(n).unwrap());
        channels.push((sender, Some(receiver)));
    }
    let mut child = |n: usize| channels[n].1.take().unwrap();
    let (first, second, third) = (child(0), child(1), child(2));
    let (source, control) = controlled(Transient(Some(first)));
    let mut second = Some(second);
    let insert = handle.insert(source, move |event, source, seen: &mut Vec<_>| {
        seen.push(event);
        match event {
            // Replaced with messages in it: those are not seen.
            Some(1) => source.with(|source| source.0 = second.take()),
            Some(12) => source.with(|source| source.0 = None),
            _ => {}
        }
        Next::Keep
    });
    let item = insert.unwrap().control();
    let mut seen = Vec::new();
    for _ in 0..3 {
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    }
    assert_eq!(seen, [0, 1, 10, 11, 12].map(Some));
    assert!(channels[0].0.send(3).is_err(), "the replaced child is gone");
    assert!(channels[1].0.send(13).is_err(), "so is the one that was taken out");
    // From outside: put in, and it ends by itself.
    seen.clear();
    control.with(|source| source.0 = Some(third)).unwrap();
    drop(channels);
    for _ in 0..2 {
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    }
    assert_eq!(seen, [Some(20), Some(21), Some(22), None]);
    assert!(item.cancel());
    closes_clean(event_loop);
}

// contract 12, 16, 17; fault 47
#[test]
fn a_descriptor_replaced_from_outside_while_its_event_waits_is_never_told() {
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let source = |byte: u8| {
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.write_all(&[byte]).unwrap();
        (FdSource::new(near, Interest::READABLE), far)
    };
    let ((old, _old_far), (new, _new_far)) = (source(1), source(2));
    let (old, control) = controlled(old);
    let insert = handle.insert(old, |event, source, seen: &mut Vec<u8>| {
        event.unwrap();
        let byte = source.with(|source| {
            let mut byte = [0];
            source.try_io(|mut fd| std::io::Read::read(&mut fd, &mut byte)).map(|_| byte[0])
        });
        seen.push(byte.unwrap());
        Next::Stop
    });
    let mut seen = Vec::new();
    // Registered; and then its event and the replacement come in one turn, the replacement first.
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    let replaced = handle.spawn(async move { control.replace(new).is_ok() });
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [2]);
    assert!(event_loop.run_until(&mut seen, replaced).unwrap().unwrap());
    drop(insert.unwrap());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn sources_are_mapped_filtered_merged_chained_and_boxed_by_any_combinator() {
    let mut event_loop = paused::<Vec<String>>();
    let handle = event_loop.handle();
    let ms = Duration::from_millis;
    let ticks = Timer::every(ms(10)).enumerate().map(|(n, _)| n).take(6);
    let even = ticks.filter(|n| future::ready(n % 2 == 0)).map(|n| format!("tick {n}"));
    let (sender, numbers) = channel();
    let numbers =
        numbers.filter_map(|n: u32| future::ready((n > 1).then(|| format!("number {n}"))));
    let answer = once(async { sleep(Duration::from_millis(25)).await }).map(|()| "once".to_owned());
    let merged =
        stream::select_all([even.boxed_local(), numbers.boxed_local(), answer.boxed_local()]);
    let all = merged.chain(stream::iter(["end".to_owned()]));
    let insert = handle.insert(all, |text, _source, log: &mut Vec<String>| {
        log.push(text);
        Next::Keep
    });
    drop(insert.unwrap());
    handle.spawn(async move {
        for n in 0..4 {
            sleep(Duration::from_millis(13)).await;
            sender.send(n).unwrap();
        }
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    let wanted = ["tick 0", "once", "tick 2", "number 2", "tick 4", "number 3", "end"];
    let at = |text: &str| log.iter().position(|entry| entry == text).unwrap();
    assert_eq!(log.len(), wanted.len());
    assert_eq!(log.last().unwrap(), "end");
    // 10, 25, 30, 39, 50, 52 ms.
    assert!(wanted.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{log:?}");
    closes_clean(event_loop);
}

// contract 2, 20
#[test]
fn lines_of_a_socket_are_the_events_of_a_callback_that_answers_by_its_source() {
    let mut event_loop = event_loop::<Vec<String>>();
    let handle = event_loop.handle();
    let (near, far) = UnixStream::pair().unwrap();
    let insert = handle.insert(Framed::new(near, LinesCodec), |line, source, seen: &mut Vec<_>| {
        let line = line.unwrap();
        // A small answer: there is room for it.
        source.try_write(line.to_uppercase().as_bytes()).unwrap();
        seen.push(line);
        Next::Keep
    });
    drop(insert.unwrap());
    let (near_lines, far_lines) = UnixStream::pair().unwrap();
    // The other way: buffered lines, without a limit in length.
    let lines = BufReader::new(near_lines).lines();
    let insert = handle.insert(lines, |line, _source, seen: &mut Vec<_>| {
        seen.push(line.unwrap());
        Next::Keep
    });
    drop(insert.unwrap());
    let answers = handle.spawn(async move {
        let mut answers = Vec::new();
        for piece in ["he", "llo\nwor", "ld\n"] {
            far.write_all(piece.as_bytes()).await.unwrap();
            far_lines.write_all(piece.as_bytes()).await.unwrap();
            handle.next_turn(|_| ()).await.unwrap();
        }
        far.shutdown().await.unwrap();
        far_lines.shutdown().await.unwrap();
        let mut buf = [0; 64];
        while let Ok(n @ 1..) = far.read(&mut buf).await {
            answers.extend_from_slice(&buf[..n]);
        }
        String::from_utf8(answers).unwrap()
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    seen.sort();
    assert_eq!(seen, ["hello", "hello\n", "world", "world\n"]);
    let answers = event_loop.run_until(&mut seen, answers).unwrap().unwrap();
    assert_eq!(answers, "HELLO\nWORLD\n");
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_control_refuses_where_its_source_is_in_use_and_says_so() {
    /// A source that meddles with itself in its own poll.
    struct Meddler(Rc<RefCell<Option<callback::SourceControl<Self>>>>);
    impl Stream for Meddler {
        type Item = bool;
        fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<bool>> {
            let control = self.0.borrow_mut().take();
            let refused = control.map(|control| {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    control.with(|_| ());
                }));
                *caught.unwrap_err().downcast::<String>().unwrap()
            });
            Poll::Ready(refused.map(|text| text.contains("in use")))
        }
    }
    let mut event_loop = event_loop::<Vec<bool>>();
    let place = Rc::new(RefCell::new(None));
    let (source, control) = controlled(Meddler(place.clone()));
    *place.borrow_mut() = Some(control.clone());
    let insert = event_loop.handle().insert(source, |refused, _source, seen: &mut Vec<bool>| {
        seen.push(refused);
        Next::Keep
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [true]);
    // The source came back with the handle, so the control still reaches it; then it is gone.
    assert!(control.with(|_| ()).is_some());
    drop(event_loop.run_until(&mut seen, insert.unwrap()).unwrap().unwrap().into_inner());
    assert!(control.with(|_| ()).is_none());
    assert!(control.replace(Meddler(place)).is_err());
    closes_clean(event_loop);
}
