//! A window of X11 whose events and a TCP server share one loop and one thread: it shows the lines that
//! clients send, drawn by the X server itself.
//!
//! Run with `cargo run --features x11 --bin window`, then send it lines: `nc 127.0.0.1 PORT`. The key `c`
//! clears it; `q`, Escape, or closing the window ends it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use futures::AsyncBufReadExt;
use futures::io::BufReader;
use loopline::callback::Next;
use loopline::io::ForeignLoop;
use loopline::net::{TcpListener, TcpStream};
use loopline::{EventLoop, Handle};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, PropMode,
    Rectangle, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// How many lines the window holds.
const LINES: usize = 16;
const LINE_HEIGHT: i16 = 22;
const MARGIN: i16 = 14;
const BAR: u16 = 34;
/// The X server draws at most so many bytes at once.
const LONGEST: usize = 60;

/// The connection to the X server, and the events that were read but not handled.
///
/// The connection reads whenever it waits for an answer, so that its descriptor alone does not tell whether
/// there are events.
struct X {
    connection: RustConnection,
    events: RefCell<VecDeque<Event>>,
}

impl AsFd for X {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.stream().as_fd()
    }
}

impl X {
    /// Sends what is to be sent and reads what has come. Zero: there are events to be handled now.
    fn before_wait(&self) -> Option<Duration> {
        // A broken connection shows when its descriptor is read.
        let _ = self.connection.flush();
        while let Ok(Some(event)) = self.connection.poll_for_event() {
            self.events.borrow_mut().push_back(event);
        }
        (!self.events.borrow().is_empty()).then_some(Duration::ZERO)
    }

    fn next_event(&self) -> Result<Option<Event>, Box<dyn Error>> {
        match self.events.borrow_mut().pop_front() {
            Some(event) => Ok(Some(event)),
            None => Ok(self.connection.poll_for_event()?),
        }
    }
}

/// What the window shows.
struct Screen {
    x: Rc<X>,
    window: Window,
    background: Gcontext,
    bar: Gcontext,
    bar_text: Gcontext,
    text: Gcontext,
    delete: u32,
    /// The symbol of each key, from the first one on. Asked for once: an answer is waited for.
    symbols: Vec<u32>,
    first_key: u8,
    lines: VecDeque<String>,
    clients: usize,
    width: u16,
    height: u16,
}

impl Screen {
    fn open() -> Result<Self, Box<dyn Error>> {
        let (connection, number) = RustConnection::connect(None)?;
        let screen = &connection.setup().roots[number];
        let (width, height) = (560, BAR + (LINES as u16) * LINE_HEIGHT as u16 + 16);
        let window = connection.generate_id()?;
        let mask = EventMask::EXPOSURE | EventMask::KEY_PRESS | EventMask::STRUCTURE_NOTIFY;
        connection.create_window(
            screen.root_depth,
            window,
            screen.root,
            0,
            0,
            width,
            height,
            0,
            WindowClass::INPUT_OUTPUT,
            screen.root_visual,
            &CreateWindowAux::new().background_pixel(PAPER).event_mask(mask),
        )?;
        let title = b"Lines over TCP";
        connection.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_NAME,
            AtomEnum::STRING,
            title,
        )?;
        let delete = ask_before_closing(&connection, window)?;
        let (first_key, symbols) = symbols(&connection)?;
        let font = connection.generate_id()?;
        if connection.open_font(font, b"9x15")?.check().is_err() {
            connection.open_font(font, b"fixed")?; // small, and always there
        }
        let colours = |front, back| -> Result<Gcontext, Box<dyn Error>> {
            let colours = connection.generate_id()?;
            let aux = CreateGCAux::new().foreground(front).background(back).font(font);
            connection.create_gc(colours, window, &aux)?;
            Ok(colours)
        };
        let (background, bar) = (colours(PAPER, PAPER)?, colours(BLUE, BLUE)?);
        let (bar_text, text) = (colours(PAPER, BLUE)?, colours(INK, PAPER)?);
        connection.close_font(font)?;
        connection.map_window(window)?;
        let x = Rc::new(X { connection, events: RefCell::default() });
        let (lines, clients) = (VecDeque::new(), 0);
        Ok(Self {
            x,
            window,
            background,
            bar,
            bar_text,
            text,
            delete,
            symbols,
            first_key,
            lines,
            clients,
            width,
            height,
        })
    }

    /// Draws everything anew; sent before the next wait.
    fn draw(&self) -> Result<(), Box<dyn Error>> {
        let connection = &self.x.connection;
        let fill = |colours, y, height| {
            let area = Rectangle { x: 0, y, width: self.width, height };
            connection.poly_fill_rectangle(self.window, colours, &[area])
        };
        fill(self.background, BAR as i16, self.height.saturating_sub(BAR))?;
        fill(self.bar, 0, BAR)?;
        let clients = self.clients;
        let heading = format!("lines: {}   clients: {clients}", self.lines.len());
        let baseline = BAR as i16 - 12;
        connection.image_text8(self.window, self.bar_text, MARGIN, baseline, heading.as_bytes())?;
        let mut baseline = BAR as i16 + LINE_HEIGHT;
        for line in &self.lines {
            connection.image_text8(self.window, self.text, MARGIN, baseline, line.as_bytes())?;
            baseline += LINE_HEIGHT;
        }
        Ok(())
    }

    /// Handles one event. Returns whether the window goes on.
    fn handle(&mut self, event: &Event) -> Result<bool, Box<dyn Error>> {
        match event {
            Event::Expose(exposed) if exposed.count == 0 => self.draw()?,
            Event::ConfigureNotify(now) => (self.width, self.height) = (now.width, now.height),
            Event::ClientMessage(message) => {
                return Ok(message.data.as_data32()[0] != self.delete);
            }
            Event::KeyPress(key) => {
                match self.symbols.get(usize::from(key.detail - self.first_key)) {
                    Some(&(ESCAPE | LATIN_Q)) => return Ok(false),
                    Some(&LATIN_C) => {
                        self.lines.clear();
                        self.draw()?;
                    }
                    _ => {}
                }
            }
            Event::Error(error) => return Err(format!("{error:?}").into()),
            _ => {}
        }
        Ok(true)
    }

    /// Takes a line: what is not ASCII the font may lack.
    fn push(&mut self, line: &str) {
        let visible = line.trim_end().chars().take(LONGEST);
        let line = visible.map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
        self.lines.push_back(line.collect());
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }
}

/// Has the window manager ask, instead of cutting the connection. Returns what it asks with.
fn ask_before_closing(connection: &RustConnection, window: u32) -> Result<u32, Box<dyn Error>> {
    let protocols = connection.intern_atom(false, b"WM_PROTOCOLS")?.reply()?.atom;
    let delete = connection.intern_atom(false, b"WM_DELETE_WINDOW")?.reply()?.atom;
    connection.change_property32(
        PropMode::REPLACE,
        window,
        protocols,
        AtomEnum::ATOM,
        &[delete],
    )?;
    Ok(delete)
}

// Of a screen with 24 bits a pixel; and the symbols of three keys.
const PAPER: u32 = 0xfa_f8_f2;
const INK: u32 = 0x22_22_2c;
const BLUE: u32 = 0x2b_4c_7e;
const ESCAPE: u32 = 0xff1b;
const LATIN_C: u32 = 'c' as u32;
const LATIN_Q: u32 = 'q' as u32;

/// Asks the X server what is on the keys. Returns the first key's number, and a symbol for each.
fn symbols(connection: &RustConnection) -> Result<(u8, Vec<u32>), Box<dyn Error>> {
    let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
    let keys = connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
    let each = usize::from(keys.keysyms_per_keycode).max(1);
    Ok((first, keys.keysyms.chunks(each).map(|symbols| symbols[0]).collect()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::<Screen>::new()?;
    let handle = event_loop.handle();
    let mut screen = Screen::open()?;

    let window = ForeignLoop::new(screen.x.clone(), |x: &Rc<X>| x.before_wait());
    handle.item().label("window").insert(window, move |event, window, screen| {
        let handled = event.map_err(Into::into).and_then(|()| {
            while let Some(event) = window.get_ref().next_event()? {
                if !screen.handle(&event)? {
                    return Ok(Next::Stop);
                }
            }
            Ok(Next::Keep)
        });
        let next = handled.unwrap_or_else(|error: Box<dyn Error>| {
            eprintln!("the window is lost: {error}");
            Next::Stop
        });
        if next == Next::Stop {
            handle.stop();
        }
        next
    })?;
    // The window is what the program is there for.
    handle.item().label("server").background().spawn(async move {
        if let Err(error) = serve(handle).await {
            eprintln!("the server ended: {error}");
        }
    });
    event_loop.run(&mut screen)?;
    Ok(())
}

/// Shows the lines of any number of clients.
async fn serve(handle: Handle<Screen>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        handle.item().label("client").background().spawn(async move {
            let _client = Client::new(handle);
            let _ = show(handle, &stream).await; // a client that breaks off is one that is gone
        });
    }
}

async fn show(handle: Handle<Screen>, stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 {
        let drawn = handle.with(|screen| {
            screen.push(&line);
            screen.draw().map_err(|error| io::Error::other(error.to_string()))
        });
        drawn?;
        line.clear();
    }
    Ok(())
}

/// Counts a client for as long as it is there.
struct Client(Handle<Screen>);

impl Client {
    fn new(handle: Handle<Screen>) -> Self {
        handle.with(|screen| {
            screen.clients += 1;
            let _ = screen.draw(); // what fails here fails at the next event too
        });
        Self(handle)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // At the end of the program the state is not lent any more.
        let _ = self.0.try_with(|screen| {
            screen.clients -= 1;
            let _ = screen.draw();
        });
    }
}
