//! Standard input, output and error, awaited. Unix only.
//!
//! O_NONBLOCK belongs to the open file description, which the shell and other processes share, so it is
//! never set on theirs. What the descriptor is decides, when it is first used:
//!
//! - a terminal or a pipe is opened once more, by `/proc/self/fd`, which gives a description of our own
//!   that does not block (Linux);
//! - a socket is read and written by calls that do not block, whatever its flags say;
//! - a file is read and written directly: it never keeps one waiting for others;
//! - else (another system, no `/proc`, a terminal of another user, or the side of a terminal that its user
//!   has) a helper thread does the calls. One is started for each of the three, on first use, and nothing
//!   waits for it: not even the end of the process.
//!   A read by it took 9 us where one of our own description took 0.3 to 2.
//!
//! Nothing is buffered on the way out. `print!` has a buffer of its own: end lines there before writing here.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use self::source::{Source, Which};

mod futures_io;
mod helper;
mod input;
mod output;
mod source;

/// Returns the standard input.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let stdin = loopline_io::stdio::stdin();
/// let mut line = String::new();
/// while stdin.read_line(&mut line).await? > 0 {
///     println!("{}", line.trim_end());
///     line.clear();
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin { source: Lazy::new(Which::Input), buffer: RefCell::default() }
}

/// Returns the standard output.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// loopline_io::stdio::stdout().write_all(b"hello\n").await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    Stdout { source: Lazy::new(Which::Output) }
}

/// Returns the standard error.
#[must_use]
pub fn stderr() -> Stderr {
    Stderr { source: Lazy::new(Which::Error) }
}

/// The standard input; see [`stdin`] and the [module](self).
///
/// What [`Stdin::read_line`] read beyond its line is kept here, for the next read; so make one and keep it.
#[derive(Debug)]
pub struct Stdin {
    source: Lazy,
    /// Read beyond the end of a line.
    buffer: RefCell<Vec<u8>>,
}

/// The standard output; see [`stdout`] and the [module](self).
#[derive(Debug)]
pub struct Stdout {
    source: Lazy,
}

/// The standard error; see [`stderr`] and the [module](self).
#[derive(Debug)]
pub struct Stderr {
    source: Lazy,
}

/// What stands behind a handle, once it was used.
struct Lazy {
    which: Which,
    source: OnceCell<Source>,
}

impl Lazy {
    fn new(which: Which) -> Self {
        Self { which, source: OnceCell::new() }
    }

    fn get(&self) -> io::Result<&Source> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let source = Source::open(self.which)?;
        Ok(self.source.get_or_init(|| source))
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.which).field(&self.source.get()).finish()
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Which::Input.fd()
    }
}

impl AsFd for Stdout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Which::Output.fd()
    }
}

impl AsFd for Stderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Which::Error.fd()
    }
}
