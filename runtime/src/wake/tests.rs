//! Tests of the waker that is a number.

use super::*;

#[test]
fn a_word_holds_loop_generation_and_slot() {
    let word = RunQueue::<ItemCell>::new(5, 0).word(9, 3);
    assert_eq!(word, (5 << (GENERATION_BITS + SLOT_BITS)) | (3 << SLOT_BITS) | 9);
    assert_eq!((loop_of(word), slot_of(word)), (5, 9));
}

#[test]
fn clones_wake_the_same_and_other_words_do_not() {
    let (one, other) = (waker(7), waker(8));
    let copy = Waker::clone(&one);
    assert!(one.will_wake(&copy) && !one.will_wake(&other));
    assert!(is_ours(&copy) && !is_ours(Waker::noop()));
}
