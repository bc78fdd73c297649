//! The lines of a byte stream: each once and whole, however it comes in pieces; bounded, and nothing lost by what
//! is the matter with one.
#![cfg(unix)] // descriptors and their options

#[path = "support/net.rs"]
mod net;
#[path = "support/random.rs"]
mod random;
mod support;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::string::FromUtf8Error;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, Cursor};
use loopline::callback::Next;
use loopline::io::{LineTooLong, Lines};
use loopline::net::UnixStream;
use loopline::{spawn, yield_now};
use net::{poll_once, reset, soon, with_peer};
use random::Random;
use support::{block_on, closes_clean, event_loop};

/// Gives its pieces one by one; an empty one is a wait of one turn, and no more of them the end.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    fails: bool,
}

impl Pieces {
    fn of(pieces: &[&[u8]]) -> Self {
        Self { pieces: pieces.iter().map(|piece| piece.to_vec()).collect(), fails: false }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(piece) = self.pieces.pop_front() else {
            let broken = io::Error::from(ErrorKind::ConnectionReset);
            return Poll::Ready(if self.fails { Err(broken) } else { Ok(0) });
        };
        if piece.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = piece.len().min(buf.len());
        buf[..n].copy_from_slice(&piece[..n]);
        if n < piece.len() {
            self.pieces.push_front(piece[n..].to_vec());
        }
        Poll::Ready(Ok(n))
    }
}

/// What comes of a line: its text, or what is the matter with it.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Text(String),
    TooLong(usize),
    NoText(Vec<u8>),
    Failed(ErrorKind),
}

fn text(line: &str) -> Line {
    Line::Text(line.to_owned())
}

fn told(line: io::Result<String>) -> Line {
    let error = match line {
        Ok(line) => return Line::Text(line),
        Err(error) if error.kind() != ErrorKind::InvalidData => return Line::Failed(error.kind()),
        Err(error) => error,
    };
    match error.downcast::<LineTooLong>() {
        Ok(too_long) => Line::TooLong(too_long.limit()),
        Err(error) => Line::NoText(error.downcast::<FromUtf8Error>().unwrap().into_bytes()),
    }
}

async fn all<R: AsyncRead + Unpin>(lines: &mut Lines<R>) -> Vec<Line> {
    let mut all = Vec::new();
    while let Some(line) = soon(lines.next()).await {
        all.push(told(line));
    }
    assert!(lines.next().await.is_none(), "they end once for all");
    all
}

#[test]
fn a_line_ends_with_a_newline_a_return_before_it_is_no_part_of_it_and_the_last_may_lack_both() {
    block_on(async {
        let mut lines = Lines::new(Cursor::new("one\ntwo\r\n\n\r\nwith\rreturn\r\r\nlast\r"));
        let seen = all(&mut lines).await;
        assert_eq!(seen, ["one", "two", "", "", "with\rreturn\r", "last\r"].map(text));
        assert_eq!(all(&mut Lines::new(Cursor::new("\n"))).await, [text("")]);
        assert_eq!(all(&mut Lines::new(Cursor::new(""))).await, []);
    });
}

/// The lines of that text, by searching it as a whole.
fn model(mut bytes: &[u8], limit: usize) -> Vec<Line> {
    let check = |line: &[u8]| match String::from_utf8(line.to_vec()) {
        _ if line.len() > limit => Line::TooLong(limit),
        Ok(line) => Line::Text(line),
        Err(error) => Line::NoText(error.into_bytes()),
    };
    let mut lines = Vec::new();
    while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        let line = &bytes[..end];
        lines.push(check(line.strip_suffix(b"\r").unwrap_or(line)));
        bytes = &bytes[end + 1..];
    }
    if !bytes.is_empty() {
        lines.push(check(bytes));
    }
    lines
}

#[test]
fn lines_do_not_depend_on_the_pieces_they_come_in() {
    let mut random = Random::new();
    block_on(async move {
        let (mut long, mut no_text) = (0, 0);
        for _ in 0..2_000 {
            let limit = random.below(12);
            let bytes: Vec<u8> =
                (0..random.below(80)).map(|_| b"\n\n\r\rabcdefgh\xff"[random.below(13)]).collect();
            let mut pieces = VecDeque::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                // None: a wait.
                let (piece, others) = rest.split_at(random.below(9).min(rest.len()));
                pieces.push_back(piece.to_vec());
                rest = others;
            }
            let mut lines = Lines::with_limit(Pieces { pieces, fails: false }, limit);
            let seen = all(&mut lines).await;
            assert_eq!(seen, model(&bytes, limit), "limit {limit} of {:?}", bytes.escape_ascii());
            long += seen.iter().filter(|line| matches!(line, Line::TooLong(_))).count();
            no_text += seen.iter().filter(|line| matches!(line, Line::NoText(_))).count();
        }
        assert!(long > 100 && no_text > 100, "{long} {no_text}");
    });
}

#[test]
fn a_line_beyond_the_limit_is_told_as_soon_as_it_is_and_not_kept() {
    block_on(async {
        const MANY: usize = 1_000;
        let part = [b'x'; 1024];
        let pieces = std::iter::repeat_n(&part[..], MANY).chain([&b"\nnext\n"[..]]);
        let mut lines = Lines::with_limit(Pieces::of(&pieces.collect::<Vec<_>>()), 4_000);
        assert_eq!(told(lines.next().await.unwrap()), Line::TooLong(4_000));
        let read = MANY + 1 - lines.get_ref().pieces.len();
        assert_eq!(read, 4, "told when it became so");
        assert_eq!(told(lines.next().await.unwrap()), text("next"));
        let (reader, rest) = lines.into_parts();
        assert_eq!(
            (reader.pieces.len(), rest.capacity() <= 16 * 1024),
            (0, true),
            "{}",
            rest.capacity()
        );
        let mut lines = Lines::with_limit(Cursor::new("too long for it"), 7);
        let said = lines.next().await.unwrap().unwrap_err().to_string();
        assert!(said.contains("more than 7 bytes") && said.contains("with_limit"), "{said}");
    });
}

#[test]
fn what_fails_within_a_line_is_told_once_and_what_there_was_of_the_line_is_given_back() {
    block_on(async {
        let mut pieces = Pieces::of(&[b"whole\nhal", b"", b"f"]);
        pieces.fails = true;
        let mut lines = Lines::new(pieces);
        let seen = all(&mut lines).await;
        assert_eq!(seen, [text("whole"), Line::Failed(ErrorKind::ConnectionReset)]);
        assert_eq!(lines.into_parts().1, b"half");
    });
}

// fault 15
#[test]
fn a_peer_that_resets_within_a_line_ends_the_lines_with_its_error() {
    block_on(async {
        let (near, mut peer) = with_peer().await;
        peer.write_all(b"whole\nhalf").unwrap();
        let mut lines = Lines::new(&near);
        assert_eq!(told(soon(lines.next()).await.unwrap()), text("whole"));
        reset(peer);
        assert_eq!(all(&mut lines).await, [Line::Failed(ErrorKind::ConnectionReset)]);
    });
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(&near);
        for piece in ["a lin", "e in pie", "ces\nand one more"] {
            assert!(poll_once(lines.next()).await.is_pending(), "{piece}");
            far.write_all(piece.as_bytes()).await.unwrap();
        }
        assert_eq!(told(soon(lines.next()).await.unwrap()), text("a line in pieces"));
        assert!(poll_once(lines.next()).await.is_pending());
        drop(far);
        assert_eq!(all(&mut lines).await, [text("and one more")]);
    });
}

#[test]
fn what_follows_the_lines_is_given_back_with_the_reader() {
    block_on(async {
        let mut lines = Lines::new(Cursor::new("GET /\r\n\r\nbody\nof bytes"));
        assert_eq!(told(lines.next().await.unwrap()), text("GET /"));
        assert_eq!(told(lines.next().await.unwrap()), text(""));
        let (reader, rest) = lines.into_parts();
        assert_eq!((rest.as_slice(), reader.position()), (&b"body\nof bytes"[..], 22));
    });
}

/// Runs a future beside a task that counts how often it gets its turn, and returns that.
fn turns_of_another(future: impl Future<Output = ()> + 'static) -> usize {
    block_on(async {
        let (others, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (count, is_over) = (others.clone(), ended.clone());
        let other = spawn(async move {
            while !is_over.get() {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        spawn(async move {
            future.await;
            ended.set(true);
        })
        .await
        .unwrap();
        other.await.unwrap();
        others.get()
    })
}

// contract 27
#[test]
fn lines_that_are_there_and_a_line_that_never_ends_do_not_hold_up_the_loop() {
    let short = "x\n".repeat(1_280);
    let turns = turns_of_another(async move {
        assert_eq!(all(&mut Lines::new(Cursor::new(short))).await.len(), 1_280);
    });
    assert!(turns >= 10, "{turns}");
    let piece: &[u8] = &[b'x'; 8 * 1024];
    let turns = turns_of_another(async move {
        let mut lines = Lines::with_limit(Pieces::of(&vec![piece; 1_280]), 100);
        assert_eq!(all(&mut lines).await, [Line::TooLong(100)]);
    });
    assert!(turns >= 10, "{turns}");
}

/// Writes all of it: there is room, whatever mischief says.
fn answer(stream: &UnixStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn a_callback_answers_by_the_socket_inside_and_a_pause_loses_no_line() {
    let mut event_loop = event_loop::<Vec<String>>();
    let handle = event_loop.handle();
    let (near, far) = UnixStream::pair().unwrap();
    let reading = handle
        .insert(Lines::new(near), |line, lines, seen: &mut Vec<String>| {
            let line = line.unwrap();
            answer(lines.get_ref(), format!("{line}!\n").as_bytes());
            seen.push(line);
            if seen.len() == 2 { Next::Pause } else { Next::Keep }
        })
        .unwrap();
    let (control, mut seen) = (reading.control(), Vec::new());
    let answers = handle.spawn(async move {
        far.write_all(b"one\ntwo\nthree\nfo").await.unwrap();
        let mut answers = Lines::new(&far);
        for expected in ["one!", "two!"] {
            assert_eq!(told(soon(answers.next()).await.unwrap()), text(expected));
        }
        for _ in 0..10 {
            assert!(poll_once(answers.next()).await.is_pending(), "paused");
            yield_now().await;
        }
        control.resume();
        far.write_all(b"ur\n").await.unwrap();
        for expected in ["three!", "four!"] {
            assert_eq!(told(soon(answers.next()).await.unwrap()), text(expected));
        }
    });
    event_loop.run_until(&mut seen, answers).unwrap().unwrap();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, ["one", "two", "three", "four"]);
    drop(reading);
    closes_clean(event_loop);
}
