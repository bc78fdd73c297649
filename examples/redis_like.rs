//! A server that speaks Redis's protocol: PING, SET, GET, INCR, INCRBY, DEL and QUIT, pipelined or typed
//! by hand. Shows tasks on one `&mut` state, and answering a whole batch with one read and one write.
//!
//! ```text
//! cargo run --release --example redis_like -- 127.0.0.1:6380
//! redis-cli -p 6380 incr visits
//! redis-benchmark -p 6380 -t ping,set,get,incr -P 16 -q
//! ```

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

use loopline::net::{TcpListener, TcpStream};
use loopline::{EventLoop, Handle};

/// What a client may send as one argument.
const ARGUMENT_MAX: usize = 1024 * 1024;
/// How many arguments a request may have.
const ARGUMENTS_MAX: usize = 1024;
/// What of a request may be in memory before the rest has arrived.
const REQUEST_MAX: usize = 4 * 1024 * 1024;
/// What a client may send without ending the line.
const LINE_MAX: usize = 64 * 1024;
/// Replies are written once there are this many bytes, however many requests are left to answer.
const REPLIES_MAX: usize = 256 * 1024;
/// How much is read at a time.
const CHUNK: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let mut event_loop = EventLoop::<Store>::new()?;
    let handle = event_loop.handle();
    event_loop.run_until(&mut Store::default(), listen(handle, address))?
}

async fn listen(handle: Handle<Store>, address: String) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    listener.set_nodelay(true)?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    println!("try: redis-cli -h {} -p {} ping", address.ip(), address.port());
    loop {
        let (stream, _peer) = listener.accept().await?;
        // An error is this client's end, and nobody else's business.
        handle.spawn(async move { drop(serve(handle, &stream).await) });
    }
}

/// Answers what one client asks, until it or an error ends it.
pub(crate) async fn serve(handle: Handle<Store>, stream: &TcpStream) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut replies = Vec::new();
    while requests.read(stream).await? > 0 {
        loop {
            // All requests that have arrived, with the state borrowed once.
            let then = handle.with(|store| store.answer(&mut requests, &mut replies));
            stream.write_all(&replies).await?;
            replies.clear();
            match then {
                Then::Read => break,
                Then::AnswerOn => {}
                Then::Close => return stream.shutdown().await,
            }
        }
    }
    Ok(())
}

/// What follows once the replies are written.
enum Then {
    Read,
    AnswerOn,
    Close,
}

/// The state of the loop: what was set.
#[derive(Default)]
pub(crate) struct Store {
    values: HashMap<Vec<u8>, Vec<u8>>,
}

impl Store {
    fn answer(&mut self, requests: &mut Requests, replies: &mut Vec<u8>) -> Then {
        loop {
            if replies.len() >= REPLIES_MAX {
                return Then::AnswerOn;
            }
            match requests.next() {
                Ok(None) => return Then::Read,
                Ok(Some(request)) if request.name_is("QUIT") => {
                    replies.extend_from_slice(b"+OK\r\n");
                    return Then::Close;
                }
                Ok(Some(request)) => self.run(&request, replies),
                Err(Malformed(why)) => {
                    error(replies, &format!("Protocol error: {why}"));
                    return Then::Close;
                }
            }
        }
    }

    fn run(&mut self, request: &Request<'_>, replies: &mut Vec<u8>) {
        let arguments = (request.argument(1), request.argument(2), request.argument(3));
        match arguments {
            (None, ..) if request.name_is("PING") => replies.extend_from_slice(b"+PONG\r\n"),
            (Some(text), None, _) if request.name_is("PING") => bulk(replies, text),
            (Some(key), None, _) if request.name_is("GET") => match self.values.get(key) {
                Some(value) => bulk(replies, value),
                None => replies.extend_from_slice(b"$-1\r\n"),
            },
            (Some(key), Some(value), None) if request.name_is("SET") => {
                match self.values.get_mut(key) {
                    Some(old) => value.clone_into(old),
                    None => drop(self.values.insert(key.into(), value.into())),
                }
                replies.extend_from_slice(b"+OK\r\n");
            }
            (Some(key), None, _) if request.name_is("INCR") => self.increment(key, b"1", replies),
            (Some(key), Some(by), None) if request.name_is("INCRBY") => {
                self.increment(key, by, replies);
            }
            (Some(_), ..) if request.name_is("DEL") => {
                let keys = (1..).map_while(|index| request.argument(index));
                let gone = keys.filter(|key| self.values.remove(*key).is_some()).count();
                integer(replies, gone.try_into().unwrap_or(i64::MAX));
            }
            _ => {
                let name = String::from_utf8_lossy(request.argument(0).unwrap_or_default());
                let name: String =
                    name.chars().take(64).filter(|char| !char.is_control()).collect();
                error(replies, &format!("unknown command '{name}', or not with these arguments"));
            }
        }
    }

    fn increment(&mut self, key: &[u8], by: &[u8], replies: &mut Vec<u8>) {
        let old = self.values.get(key).map_or(Some(0), |value| number(value));
        let (Some(old), Some(by)) = (old, number(by)) else {
            return error(replies, "value is not an integer or out of range");
        };
        let Some(new) = old.checked_add(by) else {
            return error(replies, "increment or decrement would overflow");
        };
        match self.values.get_mut(key) {
            Some(value) => {
                value.clear();
                let _ = write!(value, "{new}"); // into memory: cannot fail
            }
            None => drop(self.values.insert(key.into(), new.to_string().into())),
        }
        integer(replies, new);
    }
}

/// Returns what a value says if it is a number.
fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn bulk(replies: &mut Vec<u8>, text: &[u8]) {
    let _ = write!(replies, "${}\r\n", text.len());
    replies.extend_from_slice(text);
    replies.extend_from_slice(b"\r\n");
}

fn integer(replies: &mut Vec<u8>, number: i64) {
    let _ = write!(replies, ":{number}\r\n");
}

fn error(replies: &mut Vec<u8>, why: &str) {
    let _ = write!(replies, "-ERR {why}\r\n");
}

/// A request that breaks the protocol: nobody knows where the next one would begin.
#[derive(Debug)]
struct Malformed(String);

/// A whole request: a command's name and its arguments.
struct Request<'a> {
    text: &'a [u8],
    arguments: &'a [Range<usize>],
}

impl Request<'_> {
    /// Returns an argument; number 0 is the name.
    fn argument(&self, index: usize) -> Option<&[u8]> {
        self.arguments.get(index).map(|range| &self.text[range.clone()])
    }

    fn name_is(&self, name: &str) -> bool {
        self.argument(0).is_some_and(|given| given.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// What one client has sent. Nothing is parsed twice, in however small pieces it arrives.
#[derive(Default)]
struct Requests {
    /// What was received is in front, up to `filled`.
    buf: Vec<u8>,
    filled: usize,
    /// Where the current request begins, and how far it has been parsed.
    start: usize,
    parsed: usize,
    /// The arguments of the current request so far, counted from `start`.
    arguments: Vec<Range<usize>>,
    /// How many more it has; `None` before it begins.
    missing: Option<usize>,
    /// The length of the next argument, once that has been parsed.
    length: Option<usize>,
}

impl Requests {
    /// Reads what there is; 0 at the end.
    async fn read(&mut self, stream: &TcpStream) -> io::Result<usize> {
        self.buf.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.parsed -= self.start;
        self.start = 0;
        if self.filled > REQUEST_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too long"));
        }
        if self.buf.len() - self.filled < CHUNK {
            self.buf.resize(self.filled + CHUNK.max(self.filled), 0);
        }
        let n = stream.read(&mut self.buf[self.filled..]).await?;
        self.filled += n;
        Ok(n)
    }

    /// Parses the next request; `None` if it has not arrived as a whole.
    fn next(&mut self) -> Result<Option<Request<'_>>, Malformed> {
        if self.missing == Some(0) {
            self.begin();
        }
        while self.missing.is_none() {
            let Some(line) = self.line()? else { return Ok(None) };
            if self.buf.get(line.start) == Some(&b'*') {
                let count = self.number(line, ARGUMENTS_MAX).ok_or("invalid multibulk length")?;
                self.missing = Some(count).filter(|count| *count > 0);
            } else {
                self.inline(line);
            }
            if self.missing.is_none() {
                self.begin(); // an empty line, or an array of nothing: no request
            }
        }
        while let Some(missing @ 1..) = self.missing {
            let Some(argument) = self.bulk()? else { return Ok(None) };
            self.arguments.push(argument.start - self.start..argument.end - self.start);
            self.missing = Some(missing - 1);
        }
        let text = &self.buf[self.start..self.parsed];
        Ok(Some(Request { text, arguments: &self.arguments }))
    }

    /// Goes on to the next request.
    fn begin(&mut self) {
        self.start = self.parsed;
        self.arguments.clear();
        self.missing = None;
    }

    /// Takes a line, without its end.
    fn line(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        let rest = &self.buf[self.parsed..self.filled];
        let Some(length) = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
            return if rest.len() < LINE_MAX { Ok(None) } else { Err("too big a line".into()) };
        };
        let line = self.parsed..self.parsed + length;
        self.parsed += length + 1;
        let carriage_return = rest[..length].ends_with(b"\r");
        Ok(Some(line.start..line.end - usize::from(carriage_return)))
    }

    /// Takes an argument with its length before it.
    fn bulk(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        if self.length.is_none() {
            let Some(line) = self.line()? else { return Ok(None) };
            match self.buf.get(line.start) {
                Some(b'$') => {}
                other => {
                    let other = char::from(*other.unwrap_or(&b' ')).escape_default();
                    return Err(Malformed(format!("expected '$', got '{other}'")));
                }
            }
            self.length = Some(self.number(line, ARGUMENT_MAX).ok_or("invalid bulk length")?);
        }
        let end = self.parsed + self.length.unwrap_or_default();
        if self.filled < end + 2 {
            return Ok(None);
        }
        let argument = self.parsed..end;
        self.parsed = end + 2;
        self.length = None;
        match &self.buf[end..end + 2] {
            b"\r\n" => Ok(Some(argument)),
            _ => Err("an argument without an end".into()),
        }
    }

    /// Takes the words of a line that somebody has typed.
    fn inline(&mut self, line: Range<usize>) {
        let mut from = line.start;
        for word in self.buf[line].split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.arguments.push(from - self.start..from - self.start + word.len());
            }
            from += word.len() + 1;
        }
        self.missing = (!self.arguments.is_empty()).then_some(0);
    }

    /// Returns the number after a line's first byte.
    fn number(&self, line: Range<usize>, max: usize) -> Option<usize> {
        let text = std::str::from_utf8(&self.buf[line.start + 1..line.end]).ok()?;
        text.parse().ok().filter(|number| *number <= max)
    }
}

impl From<&str> for Malformed {
    fn from(why: &str) -> Self {
        Self(why.into())
    }
}
