//! Tools for tasks and callbacks of one thread to wait for each other.
//!
//! All of it is for one thread: no lock and no atomic anywhere, and nothing is `Send`; [`remote`] is for
//! the way between threads. Waits are served first in, first out. A wait may be dropped at any time: what
//! it had been given goes to the next one, and each method says under *Cancel safety* what else is lost,
//! if anything. Names, arguments and results are tokio's.
//!
//! A callback uses the `try_` forms, or the receiving end as its source: receivers are streams.

mod barrier;
pub mod broadcast;
mod guards;
mod into_io;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
pub mod oneshot;
pub mod remote;
mod rwlock;
mod semaphore;
pub mod watch;

pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard, TryLockError};
pub use self::notify::{Notifications, Notified, Notify, OwnedNotified};
pub use self::once_cell::{OnceCell, SetError};
pub use self::rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard, RwLockReadGuard,
    RwLockWriteGuard,
};
pub use self::semaphore::{
    AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
