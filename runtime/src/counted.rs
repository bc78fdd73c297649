//! `Counted`: a value, the number of its references, and a block of memory that the next one gets.
//!
//! As `Rc` without weak references, and on blocks that wait in lists of the thread instead of going back
//! to the allocator: that takes a fifth off the instructions of a task's life. Tasks live in it.
//!
//! Invariant (Counted): the count of a block is the number of its `Counted`s. Who brings it to zero drops the
//! value, then gives up the block; nobody else drops the value.
//!
//! Invariant (Block): a block has the layout that `block_of` says for its value, whose place is so far into
//! it, with the count in front. It was allocated with the layout that it is given up with. While it is in a
//! list, that of its size, nobody else points to it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// Bytes that a thread keeps for the next values. None in debug builds, where valgrind and the sanitizers
/// should see the end of each.
const KEPT: usize = if cfg!(debug_assertions) { 0 } else { 256 * 1024 };

/// Lists of blocks: of one word, of two, and so on. Larger ones go back to the allocator.
const LISTS: usize = 64;

/// The unit of sizes, and the alignment of all blocks in lists.
const WORD: usize = size_of::<usize>();

/// A reference to a value that lives as long as any of its references.
pub(crate) struct Counted<T: ?Sized> {
    /// Points to the value, so that a method of one without its type needs no arithmetic; the count is the
    /// word in front of it.
    value: NonNull<T>,
    _owns: PhantomData<T>,
}

/// A place for a value, where it is made and stays. One that is dropped is lost, no harm.
pub(crate) struct Room<T>(NonNull<T>);

impl<T> Room<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        let (layout, offset) = block_of(Layout::new::<T>());
        // SAFETY: Block: it is as large as the offset and a value, by `block_of`.
        Self(unsafe { take(layout).add(offset) }.cast::<T>())
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
    /// It was written to the place.
    #[inline]
    pub(crate) unsafe fn fill(self) -> Counted<T> {
        // SAFETY: Block: the word in front of the value is in it, and aligned.
        unsafe { self.0.cast::<Cell<usize>>().sub(1).write(Cell::new(1)) };
        Counted { value: self.0, _owns: PhantomData }
    }
}

impl<T> Counted<T> {
    /// Forgets the value's type.
    ///
    /// # Safety
    ///
    /// `unsize` returns its argument: `|value| value`, which the compiler makes a wider pointer.
    #[inline]
    pub(crate) unsafe fn unsize<U: ?Sized>(
        self,
        unsize: impl FnOnce(NonNull<T>) -> NonNull<U>,
    ) -> Counted<U> {
        let this = std::mem::ManuallyDrop::new(self);
        Counted { value: unsize(this.value), _owns: PhantomData }
    }
}

impl<T: ?Sized> Counted<T> {
    #[inline]
    fn count(&self) -> &Cell<usize> {
        // SAFETY: Counted: this is one of those that keep the block. Block: the word in front of the value
        // is the count.
        unsafe { self.value.cast::<Cell<usize>>().sub(1).as_ref() }
    }

    /// Returns the beginning of the value.
    ///
    /// # Safety
    ///
    /// The value begins with an `H`.
    #[inline]
    pub(crate) unsafe fn beginning<H>(&self) -> &H {
        // SAFETY: Counted: this is one of those that keep the value, so it is there as long as this is
        // borrowed, and only shared references are made. The caller's: its first bytes are an `H`.
        unsafe { self.value.cast::<H>().as_ref() }
    }

    /// Whether this is the only reference.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.count().get() == 1
    }

    /// Drops the value and gives up its block, the block also if the value's destructor panics.
    #[inline(never)]
    fn drop_last(&mut self) {
        struct Block(NonNull<u8>, Layout);
        impl Drop for Block {
            fn drop(&mut self) {
                // SAFETY: Counted: this was the last reference. Block: the layout is the value's.
                unsafe { give_up(self.0, self.1) };
            }
        }
        let (layout, offset) = block_of(Layout::for_value(&**self));
        // SAFETY: Block: it begins so far in front of the value.
        let start = unsafe { self.value.cast::<u8>().sub(offset) };
        let _block = Block(start, layout);
        // SAFETY: Counted: the last reference, so nobody uses the value, and nobody dropped it before.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) };
    }
}

/// Returns the layout of a block for a value of this layout and a count, and where in it the value is.
#[inline]
fn block_of(value: Layout) -> (Layout, usize) {
    let (layout, offset) = Layout::new::<usize>().extend(value).expect("less than all memory");
    (layout.pad_to_align(), offset)
}

impl<T: ?Sized> Deref for Counted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Counted: this is one of those that keep the value. Only shared references are made.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    #[inline]
    fn clone(&self) -> Self {
        let count = self.count();
        // No overflow, also if some are forgotten: a task has but one handle, and the loop few at a time.
        count.set(count.get() + 1);
        Self { value: self.value, _owns: PhantomData }
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    #[inline]
    fn drop(&mut self) {
        let left = self.count().get() - 1;
        self.count().set(left);
        if left == 0 {
            self.drop_last();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
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
    most: usize,
}

thread_local! {
    static BLOCKS: Blocks = const { Blocks::new(KEPT) };
}

impl Blocks {
    const fn new(most: usize) -> Self {
        Self { lists: [const { Cell::new(ptr::null_mut()) }; LISTS], kept: Cell::new(0), most }
    }

    /// Returns the list for blocks of this layout.
    #[inline]
    fn list(&self, layout: Layout) -> Option<&Cell<*mut Free>> {
        if layout.align() != WORD {
            return None;
        }
        // A layout's size is a multiple of its alignment here, and never zero: there is a count in it.
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
            Some(list) if kept <= self.most => {
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

impl Drop for Blocks {
    fn drop(&mut self) {
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
