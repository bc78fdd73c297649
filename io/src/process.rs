//! Child processes: spawned as by the standard library, awaited on the loop. Unix only; behind the
//! feature `process`.
//!
//! # How a child's end is noticed
//!
//! On Linux by a pidfd: one descriptor a child, which names that process and no other for as long as it
//! is open. Elsewhere, and on kernels without it, by SIGCHLD and a look at each child of ours that is
//! awaited.
//!
//! Only children of this module are reaped, each by itself: a library that has children of its own is not
//! disturbed. The reverse holds for nobody: if SIGCHLD is ignored, or somebody waits for just any child
//! (`waitpid(-1)`), the status of ours is lost, and waiting for it is an error that says so.
//!
//! # Children that are dropped
//!
//! A [`Child`] that is dropped goes on, unless [`Command::kill_on_drop`] was set, and is reaped by the
//! loop when it ends: no zombie stays behind. Where no loop runs, and when a loop ends before the
//! child, the next use of this module on a running loop sees to it.
//!
//! # What children inherit
//!
//! What the standard library's have: the descriptors of their standard streams, an empty signal mask, and
//! default dispositions, that of SIGPIPE too.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as StdChild, Command as StdCommand, ExitStatus, Output, Stdio};

pub use child::Child;
pub use exit::Exit;
pub use stdin::ChildStdin;
pub use stdout::{ChildStderr, ChildStdout};

mod child;
mod deaths;
mod exit;
mod orphans;
mod stdin;
mod stdout;
mod watch;

/// Builds and starts child processes: the standard library's [`Command`](StdCommand), whose children are
/// awaited on the loop.
///
/// What is not here is there: [`Command::as_std_mut`]. Starting a child takes as long as the system takes
/// for it, during which the loop stands.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_io::process::Command;
///
/// let output = Command::new("echo").arg("hello").output().await?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Command {
    std: StdCommand,
    kill_on_drop: bool,
}

impl Command {
    /// Makes a command that runs a program; as the standard library's.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        StdCommand::new(program).into()
    }

    /// Returns the standard library's command.
    #[must_use]
    pub fn as_std(&self) -> &StdCommand {
        &self.std
    }

    /// Returns the standard library's command, for what has no method here.
    pub fn as_std_mut(&mut self) -> &mut StdCommand {
        &mut self.std
    }

    /// Returns the standard library's command.
    #[must_use]
    pub fn into_std(self) -> StdCommand {
        self.std
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(args);
        self
    }

    /// Sets the name under which the program sees itself.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg0(arg);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs<K, V>(&mut self, vars: impl IntoIterator<Item = (K, V)>) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Takes an environment variable out.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// Takes all environment variables out.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Sets the child's working directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(dir);
        self
    }

    /// Sets where the child reads from; by default where this process does.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.std.stdin(stdin);
        self
    }

    /// Sets where the child writes to; by default where this process does.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.std.stdout(stdout);
        self
    }

    /// Sets where the child writes errors to; by default where this process does.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.std.stderr(stderr);
        self
    }

    /// Sets whether a child is killed (SIGKILL) when its [`Child`] is dropped; not, by default.
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Self {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Returns what [`Command::kill_on_drop`] set.
    #[must_use]
    pub fn get_kill_on_drop(&self) -> bool {
        self.kill_on_drop
    }

    /// Sets the child's user.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.std.uid(id);
        self
    }

    /// Sets the child's group.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.std.gid(id);
        self
    }

    /// Sets the child's process group; 0 makes a new one. A Ctrl-C of the terminal goes to the
    /// foreground group only.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.std.process_group(group);
        self
    }

    /// Starts the program.
    ///
    /// Needs no running loop; waiting does.
    ///
    /// # Errors
    ///
    /// If there is no such program, or the system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # loopline_runtime::block_on(async {
    /// use loopline_io::process::Command;
    /// use std::process::Stdio;
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    /// stdin.write_all(b"meow").await?;
    /// drop(stdin); // or it would wait for more
    /// let mut said = String::new();
    /// stdout.read_to_string(&mut said).await?;
    /// assert_eq!(said, "meow");
    /// assert!(child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with(StdCommand::spawn)
    }

    /// Starts the program by a function of one's own, which is given the standard library's command: for
    /// what must be done around the start, or is done by another library.
    ///
    /// # Errors
    ///
    /// What the function returns; as [`Command::spawn`].
    pub fn spawn_with(
        &mut self,
        start: impl FnOnce(&mut StdCommand) -> io::Result<StdChild>,
    ) -> io::Result<Child> {
        orphans::look();
        Child::new(start(&mut self.std)?, self.kill_on_drop)
    }

    /// Starts the program, and waits for its end. Pipes to it are closed at once.
    ///
    /// It is started by this call, not by the first poll.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`] and [`Child::wait`].
    ///
    /// # Cancel safety
    ///
    /// None: the child is dropped, and goes on unless [`Command::kill_on_drop`] was set.
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async {
            let mut child = child?;
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Starts the program, and collects what it writes until its end; see [`Child::wait_with_output`].
    ///
    /// It is started by this call, not by the first poll; its output and errors go into pipes, whatever was
    /// set before.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`] and [`Child::wait_with_output`].
    ///
    /// # Cancel safety
    ///
    /// None: the child is dropped, and goes on unless [`Command::kill_on_drop`] was set.
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn();
        async { child?.wait_with_output().await }
    }
}

impl From<StdCommand> for Command {
    fn from(std: StdCommand) -> Self {
        Self { std, kill_on_drop: false }
    }
}
