//! The list of waiters against a plain deque.

use std::collections::VecDeque;

use super::{KEPT, Key, WaitList};
use crate::wake::waker;
use std::mem::ManuallyDrop;
use std::task::Waker;

fn any_waker(word: usize) -> Waker {
    ManuallyDrop::into_inner(waker(word))
}

#[test]
fn waits_are_reached_in_order_whatever_was_taken_out_between() {
    let mut list = WaitList::new();
    let mut model = VecDeque::new();
    let mut keys: Vec<(u64, Key)> = Vec::new();
    let mut random = 0x1234_5678_9abc_def1_u64;
    for n in 0..100_000_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        match random % 6 {
            0 | 1 if keys.len() < 200 => {
                keys.push((n, list.push(n, any_waker(n as usize))));
                model.push_back(n);
            }
            2 => {
                let reached = list.reach().map(|(value, waker)| (*value, waker.data().addr()));
                assert_eq!(reached, model.pop_front().map(|n| (n, n as usize)));
            }
            4 => {
                let reached = list.reach_last().map(|(value, waker)| (*value, waker.data().addr()));
                assert_eq!(reached, model.pop_back().map(|n| (n, n as usize)));
            }
            3 if !keys.is_empty() => {
                let index = (random >> 8) as usize % keys.len();
                let (n, key) = &keys[index];
                let waits = model.contains(n);
                assert_eq!((list.is_waiting(key), *list.value(key)), (waits, *n));
                assert_eq!(list.reach_at(key).is_some(), waits);
                model.retain(|other| other != n);
            }
            _ if !keys.is_empty() => {
                let (n, key) = keys.swap_remove((random >> 8) as usize % keys.len());
                let (value, waker) = list.take(key);
                assert_eq!((value, waker.is_some()), (n, model.contains(&n)));
                model.retain(|other| *other != n);
            }
            _ => {}
        }
        assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(list.first().copied(), model.front().copied());
    }
}

#[test]
fn a_list_that_was_long_gives_its_memory_back() {
    let mut list = WaitList::new();
    let keys: Vec<Key> = (0..10_000).map(|n| list.push((), any_waker(n))).collect();
    assert!(list.nodes.capacity() >= 10_000);
    keys.into_iter().for_each(|key| drop(list.take(key)));
    assert!(list.nodes.capacity() <= KEPT);
    // And a short one keeps it: 10 million waits cost no allocation.
    let key = list.push((), any_waker(0));
    let capacity = list.nodes.capacity();
    drop(list.take(key));
    assert_eq!(list.nodes.capacity(), capacity);
}
