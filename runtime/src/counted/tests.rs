//! Values, their blocks, and the lists of blocks.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A value without its type.
trait Shown: Headed<Head = Count> {
    fn show(&self) -> String;
}

impl<T: fmt::Debug> Shown for Value<T> {
    fn show(&self) -> String {
        format!("{:?}", self.1)
    }
}

fn layout(words: usize) -> Layout {
    Layout::array::<usize>(words).unwrap()
}

#[test]
fn a_value_is_dropped_once_with_its_last_reference() {
    let witness = Rc::new(());
    let counted = Value::new(witness.clone());
    let other = counted.clone();
    assert!(!counted.is_last());
    drop(counted);
    assert_eq!(Rc::strong_count(&witness), 2);
    assert!(other.is_last() && Rc::ptr_eq(&other.1, &witness));
    drop(other);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn a_value_without_its_type_is_the_same_value() {
    let counted = Value::new(7_u128); // aligned more than a count is
    let other = counted.clone();
    // SAFETY: returns its argument.
    let any = unsafe { counted.unsize::<dyn Shown>(|value| value) };
    assert_eq!(any.show(), "7");
    drop(other);
    assert!(any.is_last());
}

#[test]
#[should_panic = "few references"]
fn more_references_than_can_be_counted_are_refused() {
    let _all: Vec<_> = std::iter::repeat_n(Value::new(()), 257).collect();
}

#[test]
fn a_destructor_that_panics_costs_no_memory_and_runs_once() {
    struct Panics(Rc<Cell<u32>>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("as it should");
        }
    }
    let drops = Rc::new(Cell::new(0));
    let counted = Value::new(Panics(drops.clone()));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(counted))).is_err());
    assert_eq!((drops.get(), Rc::strong_count(&drops)), (1, 1));
}

#[test]
fn a_block_that_was_given_up_is_the_next_one_of_its_size() {
    let blocks = Blocks::new(1024);
    let (small, large) = (allocate(layout(3)), allocate(layout(4)));
    // SAFETY: allocated just now with these layouts, and used by nobody.
    assert!(unsafe { blocks.keep(small, layout(3)) && blocks.keep(large, layout(4)) });
    assert_eq!(blocks.kept.get(), 7 * WORD);
    assert_eq!(blocks.take(layout(5)), None);
    assert_eq!(blocks.take(layout(3)), Some(small));
    assert_eq!(blocks.take(layout(3)), None);
    // SAFETY: as above.
    assert!(unsafe { blocks.keep(small, layout(3)) });
    assert_eq!(blocks.kept.get(), 7 * WORD);
    blocks.close();
    assert_eq!(
        (blocks.kept.get(), blocks.take(layout(3)), blocks.take(layout(4))),
        (0, None, None)
    );
    let last = allocate(layout(3));
    // SAFETY: as above.
    assert!(!unsafe { blocks.keep(last, layout(3)) }, "closed");
    // SAFETY: the same, and it is in no list.
    unsafe { dealloc(last.as_ptr(), layout(3)) };
}

#[test]
fn no_more_is_kept_than_was_said_and_nothing_of_another_kind() {
    let blocks = Blocks::new(5 * WORD);
    let odd = Layout::from_size_align(4 * WORD, 4 * WORD).unwrap();
    let huge = layout(LISTS + 1);
    let kept: Vec<bool> = [layout(3), layout(3), layout(2), odd, huge]
        .into_iter()
        .map(|layout| {
            let block = allocate(layout);
            // SAFETY: allocated just now, and used by nobody.
            let kept = unsafe { blocks.keep(block, layout) };
            if !kept {
                // SAFETY: the same, and it is in no list.
                unsafe { dealloc(block.as_ptr(), layout) };
            }
            kept
        })
        .collect();
    assert_eq!(kept, [true, false, true, false, false]);
    blocks.close();
}

#[test]
fn random_values_come_and_go_in_lists_that_are_never_mixed_up() {
    let blocks = Blocks::new(2000);
    let mut live: Vec<(NonNull<u8>, usize)> = Vec::new();
    let mut seed = 1_u64;
    for _ in 0..10_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let n = (seed >> 33) as usize;
        if n % 2 == 0 || live.is_empty() {
            let words = 1 + n / 2 % (LISTS + 4);
            let block = blocks.take(layout(words)).unwrap_or_else(|| allocate(layout(words)));
            // SAFETY: it has that many words, and is ours.
            unsafe { block.write_bytes(words as u8, words * WORD) };
            live.push((block, words));
        } else {
            let (block, words) = live.swap_remove(n / 2 % live.len());
            // SAFETY: it has that many words, which were all written.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), words * WORD) };
            assert!(bytes.iter().all(|byte| *byte == words as u8), "somebody else wrote here");
            // SAFETY: allocated with this layout, and used by nobody from now on.
            if !unsafe { blocks.keep(block, layout(words)) } {
                // SAFETY: the same, and it is in no list.
                unsafe { dealloc(block.as_ptr(), layout(words)) };
            }
        }
        assert!(blocks.kept.get() <= 2000);
    }
    for (block, words) in live {
        // SAFETY: allocated with this layout, and used by nobody.
        unsafe { dealloc(block.as_ptr(), layout(words)) };
    }
    blocks.close();
}
