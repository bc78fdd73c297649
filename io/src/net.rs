//! TCP sockets.
//!
//! All methods are on `&self`: one stream can be read by one task and written by another, without
//! splitting it. Any number of tasks may wait on each direction.
//!
//! A socket belongs to the event loop on which it first had to wait, and is woken only while that loop
//! runs. To move it to another one, take it out with `into_std` and in again with `from_std`.

pub use addr::{Addrs, ToAddrs};
pub use lookup::lookup_host;
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;

mod addr;
mod connect;
mod futures_io;
mod lookup;
mod tcp_listener;
mod tcp_options;
mod tcp_stream;
mod tcp_try;
