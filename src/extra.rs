//! Extension traits and helpers for futures, streams, readers and writers: those of
//! [futures-lite](https://docs.rs/futures-lite) that are right on this loop, under one name. Behind the
//! feature `extra`.
//!
//! They know no event loop: each only passes on the polls of what is inside. So wakes, the budget and the
//! seeded order are those of the leaves, and what is said of cancelling is said of the future inside.
//!
//! ```
//! use loopline::extra::{AsyncWriteExt, StreamExt};
//! use loopline::io::Lines;
//! use loopline::net::{TcpListener, TcpStream};
//!
//! # loopline::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let (client, accepted) =
//!     loopline::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())?;
//! let (server, _peer) = accepted;
//! client.write_all(b"one\ntwo\n").await?; // inherent, on &self; those of the traits take &mut
//! drop(client);
//! let lines: Vec<String> = Lines::new(server).try_collect().await?;
//! assert_eq!(lines, ["one", "two"]);
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What is left out, and what to use
//!
//! - `block_on`, of futures, of streams and of readers: it stops the whole thread until somebody else
//!   wakes it. On a loop's thread nobody does: what it waits for is on the loop that it stopped. Use
//!   [`block_on`](crate::block_on) outside a loop, and `.await` on it.
//! - `yield_now`: [`yield_now`](crate::yield_now) does that, and [`need_yield`](crate::task::need_yield) says
//!   when it is time to.
//! - `race`, of futures and of streams: it draws a random number that no seed repeats. Use
//!   [`race`](crate::race()) or [`select!`](crate::select), which ask the loop's seed; or [`future::or`] and
//!   [`stream::or`], which prefer the first. (Another crate of the program may switch
//!   the method `race` of the traits on.)
//! - `pin!`, `ready!`, `poll_fn`, `pending`, `ready`: the standard library has them.
//!
//! [`stream::iter`] and the like are always ready and know no budget: a loop over one
//! that awaits nothing else holds up the event loop until it ends. Say
//! [`consume_budget`](crate::task::consume_budget) in it.

pub use futures_lite::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, FutureExt, Stream, StreamExt,
};

/// Futures made of futures.
pub mod future {
    pub use futures_lite::future::{
        CatchUnwind, Fuse, Or, PollOnce, TryZip, Zip, fuse, or, poll_once, try_zip, zip,
    };
}

/// Readers and writers made of others.
pub mod io {
    pub use futures_lite::io::{
        BufReader, BufWriter, Cursor, ReadHalf, WriteHalf, copy, empty, repeat, sink, split,
    };
}

/// Streams made of values, functions and streams.
pub mod stream {
    pub use futures_lite::stream::{
        Or, Pending, empty, iter, once, once_future, or, pending, poll_fn, repeat, repeat_with,
        stop_after_future, try_unfold, unfold,
    };
}
