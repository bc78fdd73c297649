use std::io::{Read, Write};
use std::net::TcpListener;

use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};

fn main() -> std::io::Result<()> {
    let mut event_loop = EventLoop::<'static, ()>::try_new().map_err(std::io::Error::other)?;
    let handle = event_loop.handle();
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    listener.set_nonblocking(true)?;
    let streams = handle.clone();
    let accept = Generic::new(listener, Interest::READ, Mode::Level);
    let inserted = handle.insert_source(accept, move |_, listener, ()| {
        while let Ok((stream, _peer)) = listener.accept() {
            stream.set_nonblocking(true)?;
            let mut buffer = [0; 4096];
            let source = Generic::new(stream, Interest::READ, Mode::Level);
            let inserted = streams.insert_source(source, move |_, stream, ()| {
                let mut stream = &**stream;
                Ok(match stream.read(&mut buffer) {
                    Ok(n @ 1..) if stream.write_all(&buffer[..n]).is_ok() => PostAction::Continue,
                    _ => PostAction::Remove,
                })
            });
            inserted.map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        Ok(PostAction::Continue)
    });
    inserted.map_err(|error| std::io::Error::other(error.to_string()))?;
    loop {
        event_loop.dispatch(None, &mut ()).map_err(std::io::Error::other)?;
    }
}
