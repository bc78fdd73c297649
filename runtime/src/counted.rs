//! `Counted`: a value, the number of its references, and a block of memory that the next one gets.
//!
//! As `Rc` without weak references, and on blocks that wait in lists of the thread instead of going back
//! to the allocator: that takes a fifth off the instructions of a task's life, and a tenth off those of a
//! connection's. Tasks live in it, and the ledgers of sources.
//!
//! Invariant (Counted): the count of a block is the number of its `Counted`s. Who brings it to zero drops the
//! value, unless its head says that nothing in it needs that, then gives up the block; nobody else drops it.
//!
//! Invariant (Block): a block has the layout of its value. It was allocated with the layout that it is given
//! up with. While it is in a list, that of its size, nobody else points to it.
//!
//! Invariant (Front): a value begins with its head, which has the count; `Headed` promises it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};

/// Bytes that a thread keeps for the next values. None in debug builds, where valgrind and the sanitizers
/// should see the end of each.
const KEPT: usize = if cfg!(debug_assertions) { 0 } else { 256 * 1024 };

/// Lists of blocks: of one word, of two, and so on. Larger ones go back to the allocator.
const LISTS: usize = 64;

/// The unit of sizes, and the alignment of all blocks in lists.
const WORD: usize = size_of::<usize>();

/// The number of references to a value. A byte: a task has but one handle, and the loop few at a time.
#[derive(Debug)]
pub(crate) struct Count(Cell<u8>);

impl Count {
    /// The count of a value that `Room::fill` is about to get.
    #[inline]
    pub(crate) const fn new() -> Self {
        Self(Cell::new(1))
    }
}

/// What a value begins with, whatever its type.
pub(crate) trait Head {
    /// The one count of the value, which nobody but `Counted` changes.
    fn count(&self) -> &Count;

    /// Whether no destructor in the value has anything left to do.
    fn is_hollow(&self) -> bool;
}

/// A value that begins with its head.
///
/// # Safety
///
/// The type is `repr(C)`, and its first field is of the type `Head`.
pub(crate) unsafe trait Headed {
    type Head: Head;
}

/// A reference to a value that lives as long as any of its references.
pub(crate) struct Counted<T: ?Sized + Headed> {
    value: NonNull<T>,
    _owns: PhantomData<T>,
}

/// As for `Rc`.
impl<T: ?Sized + Headed + RefUnwindSafe> UnwindSafe for Counted<T> {}
impl<T: ?Sized + Headed + RefUnwindSafe> RefUnwindSafe for Counted<T> {}

/// A place for a value, where it is made and stays. One that is dropped is lost, no harm.
pub(crate) struct Room<T>(NonNull<T>);

impl<T: Headed> Room<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(take(Layout::new::<T>()).cast())
    }

    /// Where to write the value: aligned, and nobody else's.
    #[inline]
    pub(crate) fn place(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// Returns the first reference to the value.
    ///
    /// # Safety
    ///
    /// It was written to the place, with a new count.
    #[inline]
    pub(crate) unsafe fn fill(self) -> Counted<T> {
        Counted { value: self.0, _owns: PhantomData }
    }
}

impl<T: Headed> Counted<T> {
    /// Forgets the value's type.
    ///
    /// # Safety
    ///
    /// `unsize` returns its argument: `|value| value`, which the compiler makes a wider pointer.
    #[inline]
    pub(crate) unsafe fn unsize<U: ?Sized + Headed>(
        self,
        unsize: impl FnOnce(NonNull<T>) -> NonNull<U>,
    ) -> Counted<U> {
        let this = ManuallyDrop::new(self);
        Counted { value: unsize(this.value), _owns: PhantomData }
    }
}

/// A value without a head of its own.
#[repr(C)] // begins with its count
pub(crate) struct Value<T>(Count, T);

impl<T> Value<T> {
    /// Returns the first reference to a value.
    #[inline]
    pub(crate) fn new(value: T) -> Counted<Self> {
        let room = Room::<Self>::new();
        // In its parts, as a task is: to read the whole again at once would have to wait for them.
        // SAFETY: Block: the room is aligned and nobody else's; this is a field in it.
        unsafe { (&raw mut (*room.place()).0).write(Count::new()) };
        // SAFETY: Block, as above.
        unsafe { (&raw mut (*room.place()).1).write(value) };
        // SAFETY: Front: both fields were written, the count a new one.
        unsafe { room.fill() }
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.1
    }
}

impl Head for Count {
    #[inline]
    fn count(&self) -> &Count {
        self
    }

    #[inline]
    fn is_hollow(&self) -> bool {
        false
    }
}

// SAFETY: as it is laid out just above.
unsafe impl<T> Headed for Value<T> {
    type Head = Count;
}

impl<T: ?Sized + Headed> Counted<T> {
    /// Returns what the value begins with: no call by way of its type.
    #[inline]
    pub(crate) fn header(&self) -> &T::Head {
        // SAFETY: Counted: this is one of those that keep the value. Front.
        unsafe { self.value.cast::<T::Head>().as_ref() }
    }

    #[inline]
    fn count(&self) -> &Cell<u8> {
        &self.header().count().0
    }

    /// Whether this is the only reference.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.count().get() == 1
    }

    /// Gives this reference up, or returns it if it is the only one.
    #[inline]
    pub(crate) fn leave(self) -> Option<Self> {
        if self.is_last() {
            return Some(self);
        }
        let this = ManuallyDrop::new(self);
        this.count().set(this.count().get() - 1);
        None
    }
}

impl<T: ?Sized + Headed> Deref for Counted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Counted: this is one of those that keep the value. Only shared references are made.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized + Headed> Clone for Counted<T> {
    #[inline]
    fn clone(&self) -> Self {
        let count = self.count();
        count.set(count.get().checked_add(1).expect("few references at a time"));
        Self { value: self.value, _owns: PhantomData }
    }
}

impl<T: ?Sized + Headed> Drop for Counted<T> {
    #[inline]
    fn drop(&mut self) {
        let left = self.count().get() - 1;
        self.count().set(left);
        if left == 0 {
            // SAFETY: Counted: this was the last reference.
            unsafe { drop_last(self.value) };
        }
    }
}

/// Drops a value and gives up its block.
///
/// # Safety
///
/// Its last reference is gone, and this was not called for it before.
#[inline(never)]
unsafe fn drop_last<T: ?Sized + Headed>(value: NonNull<T>) {
    // SAFETY: the caller's: it is still there. Front.
    let is_hollow = unsafe { value.cast::<T::Head>().as_ref() }.is_hollow();
    if !is_hollow {
        // SAFETY: the caller's.
        return unsafe { drop_full(value) };
    }
    // SAFETY: the caller's, as above.
    let layout = Layout::for_value(unsafe { value.as_ref() });
    // SAFETY: Counted: this was the last reference. Block: the layout is the value's.
    unsafe { give_up(value.cast(), layout) };
}

/// As `drop_last`, for a value with something in it: gives up the block also if the value's destructor
/// panics.
///
/// # Safety
///
/// As for `drop_last`.
#[inline(never)] // so that what is hollow saves no registers for it
unsafe fn drop_full<T: ?Sized + Headed>(value: NonNull<T>) {
    struct Block(NonNull<u8>, Layout);
    impl Drop for Block {
        fn drop(&mut self) {
            // SAFETY: Counted: this was the last reference. Block: the layout is the value's.
            unsafe { give_up(self.0, self.1) };
        }
    }
    // SAFETY: the caller's: it is still there.
    let _block = Block(value.cast(), Layout::for_value(unsafe { value.as_ref() }));
    // SAFETY: Counted: the last reference, so nobody uses the value, and nobody dropped it before.
    unsafe { ptr::drop_in_place(value.as_ptr()) };
}

impl<T: ?Sized + Headed<Head: fmt::Display>> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.header(), f)
    }
}

/// A block in a list: its first word.
struct Free {
    next: *mut Self,
}

/// The blocks that one thread keeps.
struct Blocks {
    /// By size in words, less one.
    lists: [Cell<*mut Free>; LISTS],
    /// How many bytes are in the lists.
    kept: Cell<usize>,
    /// How many may be.
    most: Cell<usize>,
}

thread_local! {
    /// Without a destructor, so that nobody has to ask whether it ran.
    static BLOCKS: ManuallyDrop<Blocks> = const { ManuallyDrop::new(Blocks::new(KEPT)) };
    static CLOSES: Closes = const { Closes };
}

/// Frees what the thread keeps when it ends; nothing is kept from then on.
struct Closes;

impl Drop for Closes {
    fn drop(&mut self) {
        // Gone before: only where thread-locals are the system library's. What was in it is lost.
        let _ = BLOCKS.try_with(|blocks| blocks.close());
    }
}

impl Blocks {
    const fn new(most: usize) -> Self {
        Self {
            lists: [const { Cell::new(ptr::null_mut()) }; LISTS],
            kept: Cell::new(0),
            most: Cell::new(most),
        }
    }

    /// Returns the list for blocks of this layout.
    #[inline]
    fn list(&self, layout: Layout) -> Option<&Cell<*mut Free>> {
        if layout.align() != WORD {
            return None;
        }
        // A value's size is a multiple of its alignment, and never zero: there is a count in it.
        self.lists.get(layout.size() / WORD - 1)
    }

    #[inline]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        let list = self.list(layout)?;
        let block = NonNull::new(list.get())?;
        // SAFETY: Block: it is in a list, so a `Free` was written there.
        list.set(unsafe { block.as_ref() }.next);
        self.kept.set(self.kept.get() - layout.size());
        Some(block.cast())
    }

    /// Keeps a block, and returns whether it did.
    ///
    /// # Safety
    ///
    /// The block was allocated with this layout, and nobody uses it any more.
    #[inline]
    unsafe fn keep(&self, block: NonNull<u8>, layout: Layout) -> bool {
        let kept = self.kept.get() + layout.size();
        match self.list(layout) {
            Some(list) if kept <= self.most.get() => {
                let free = block.cast::<Free>();
                // SAFETY: the caller's: at least one word, aligned, and nobody else's.
                unsafe { free.write(Free { next: list.get() }) };
                list.set(free.as_ptr());
                self.kept.set(kept);
                true
            }
            _ => false,
        }
    }
}

impl Blocks {
    /// Frees what is kept, and keeps nothing from now on.
    fn close(&self) {
        self.most.set(0);
        for words in 1..=LISTS {
            let layout = Layout::array::<usize>(words).expect("a small one");
            while let Some(block) = self.take(layout) {
                // SAFETY: Block: in this list are blocks of this layout.
                unsafe { dealloc(block.as_ptr(), layout) };
            }
        }
    }
}

/// Returns a block of this layout, whose size is not zero.
#[inline]
fn take(layout: Layout) -> NonNull<u8> {
    // Not kept: the thread ends, and its lists are gone.
    let kept = BLOCKS.try_with(|blocks| blocks.take(layout)).ok().flatten();
    kept.unwrap_or_else(|| allocate(layout))
}

#[inline(never)]
fn allocate(layout: Layout) -> NonNull<u8> {
    // Here, as what is kept was allocated. An error: it ran, so nothing will be kept.
    let _ = CLOSES.try_with(|_| ());
    assert_ne!(layout.size(), 0);
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives a block to the next value, or back to the allocator.
///
/// # Safety
///
/// As for `Blocks::keep`.
#[inline]
unsafe fn give_up(block: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's.
    let kept = BLOCKS.try_with(|blocks| unsafe { blocks.keep(block, layout) });
    if kept != Ok(true) {
        // SAFETY: Block: allocated with this layout, and in no list.
        unsafe { dealloc(block.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests;
