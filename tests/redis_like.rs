//! The example `redis_like`: requests in pieces, in batches, typed by hand, and broken ones.
#![cfg(all(unix, feature = "net"))]

#[path = "support/net.rs"]
mod net;
#[path = "../examples/redis_like.rs"]
#[allow(dead_code)] // its `main`
mod redis_like;
mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use loopline::spawn_blocking;
use net::{soon, with_peer};
use redis_like::{Store, serve};
use support::{closes_clean, event_loop, scaled};

/// What the server replies to these pieces, each sent when the one before has been read.
fn asked(pieces: &[&[u8]]) -> String {
    let mut event_loop = event_loop::<Store>();
    let handle = event_loop.handle();
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let replies = event_loop.run_until(&mut Store::default(), async move {
        let (stream, mut peer) = with_peer().await;
        let served = handle.spawn(async move { serve(handle, &stream).await });
        let asked = spawn_blocking(move || {
            let mut reader = peer.try_clone().unwrap();
            let replies = std::thread::spawn(move || {
                let mut replies = Vec::new();
                reader.read_to_end(&mut replies).map(|_| replies)
            });
            for piece in pieces {
                // Whoever broke the protocol is not listened to any more.
                if peer.write_all(&piece).is_err() {
                    break;
                }
                std::thread::yield_now();
            }
            let _ = peer.shutdown(Shutdown::Write);
            replies.join().unwrap().unwrap()
        });
        let replies = soon(asked).await.unwrap();
        let _ = soon(served).await.unwrap();
        replies
    });
    closes_clean(event_loop);
    String::from_utf8(replies.unwrap()).unwrap()
}

#[test]
fn each_command_is_answered() {
    let requests: [(&[u8], &str); 14] = [
        (b"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        (b"*2\r\n$4\r\nping\r\n$2\r\n\r\n\r\n", "$2\r\n\r\n\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$-1\r\n"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n", "+OK\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$0\r\n\r\n"),
        (b"INCR n\r\n", ":1\r\n"),
        (b"  incr   n  \n", ":2\r\n"),
        (b"\r\n*0\r\nINCR a\r\n", "-ERR value is not an integer or out of range\r\n"),
        (b"SET m 9223372036854775807\r\n", "+OK\r\n"),
        (b"INCR m\r\n", "-ERR increment or decrement would overflow\r\n"),
        (b"INCRBY n -5\r\n", ":-3\r\n"),
        (b"INCRBY n five\r\n", "-ERR value is not an integer or out of range\r\n"),
        (b"DEL a m x\r\n", ":2\r\n"),
        (b"SET a b EX 3\r\n", "-ERR unknown command 'SET', or not with these arguments\r\n"),
    ];
    let sent: Vec<u8> = requests.iter().flat_map(|(request, _)| request.to_vec()).collect();
    let expected: String = requests.iter().map(|(_, reply)| *reply).collect();
    assert_eq!(asked(&[&sent]), expected, "all in one piece");
    let bytes: Vec<&[u8]> = sent.chunks(1).collect();
    assert_eq!(asked(&bytes), expected, "byte by byte");
}

#[test]
fn pipelined_requests_are_answered_in_order_however_many_they_are() {
    let count = scaled(100_000);
    let sent = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(count);
    let pieces: Vec<&[u8]> = sent.chunks(10_007).collect();
    let replies = asked(&pieces);
    let numbers = replies.split_terminator("\r\n").enumerate();
    assert_eq!(replies.lines().count(), count);
    for (index, number) in numbers {
        assert_eq!(number, format!(":{}", index + 1));
    }
}

#[test]
fn few_small_requests_cannot_have_all_of_a_big_value_in_memory() {
    let value = vec![b'v'; 1_000_000];
    let mut sent = format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${}\r\n", value.len()).into_bytes();
    sent.extend_from_slice(&value);
    sent.extend_from_slice(b"\r\n");
    sent.extend(b"GET v\r\n".repeat(20));
    let replies = asked(&[&sent]);
    assert_eq!(replies.len(), 5 + 20 * (value.len() + 12));
}

#[test]
fn what_breaks_the_protocol_is_told_why_and_ends() {
    let broken: [(&[u8], &str); 7] = [
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1025\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "invalid bulk length"),
        (b"*1\r\n$4\r\nPING!!", "an argument without an end"),
        (&[b'x'; 64 * 1024], "too big a line"),
    ];
    for (request, why) in broken {
        assert_eq!(
            asked(&[b"PING\r\n", request]),
            format!("+PONG\r\n-ERR Protocol error: {why}\r\n")
        );
    }
}

#[test]
fn quit_ends_the_connection_and_half_a_request_is_forgotten() {
    assert_eq!(asked(&[b"PING\r\nQUIT\r\nPING\r\n"]), "+PONG\r\n+OK\r\n");
    assert_eq!(asked(&[b"PING\r\n*2\r\n$4\r\nPI"]), "+PONG\r\n");
}
