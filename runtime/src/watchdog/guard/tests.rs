//! When something is reported, with time as an argument.

use super::super::pulse::{CHILD, DESTRUCTOR, POLL};
use super::*;

const LIMIT: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(25);

fn poll(running: u64, batch: usize) -> Seen {
    Seen { mark: POLL, running, left: 1, batch, polls: batch }
}

/// Looks every step. Returns the reports, in steps and number.
fn look_at(watched: &mut Watched, seen: &[Seen]) -> Vec<(u32, u32)> {
    let looks = seen.iter().filter_map(|seen| watched.look(*seen, STEP));
    looks.map(|(_, held, times)| ((held.as_millis() / STEP.as_millis()) as u32, times)).collect()
}

/// Something that happens inside a poll.
fn inside(poll: Seen, mark: u64, batch: usize) -> Seen {
    Seen { mark, batch, ..poll }
}

#[test]
fn what_stays_the_same_is_reported_after_the_limit_and_as_the_time_doubles() {
    let mut watched = Watched::new(LIMIT, STEP);
    let reports = look_at(&mut watched, &[poll(7, 1); 40]);
    assert_eq!(reports, [(4, 1), (8, 2), (16, 3), (32, 4)]);
    // Another begins: from the start.
    assert_eq!(look_at(&mut watched, &[poll(9, 2); 6]), [(4, 1)]);
}

#[test]
fn many_short_polls_of_one_item_are_not_one_long_one() {
    let mut watched = Watched::new(LIMIT, STEP);
    let polls: Vec<_> = (1..100).map(|n| poll(7, n)).collect();
    assert_eq!(look_at(&mut watched, &polls), []);
    let nothing = Seen { mark: NOTHING, polls: 0, ..poll(7, 100) };
    assert_eq!(look_at(&mut watched, &[nothing; 100]), []);
}

// fault 64
#[test]
fn a_long_poll_is_reported_also_if_short_things_happen_inside_it() {
    let mut watched = Watched::new(LIMIT, STEP);
    let long = poll(7, 1);
    let looks: Vec<_> = (0..9)
        .map(|n| if n % 2 == 0 { long } else { inside(long, DESTRUCTOR | n, n as usize + 2) })
        .collect();
    let reports: Vec<_> = looks.iter().filter_map(|seen| watched.look(*seen, STEP)).collect();
    assert_eq!(reports, [(long, STEP * 4, 1), (long, STEP * 8, 2)]);
}

// fault 64
#[test]
fn a_long_poll_is_reported_in_time_also_while_something_inside_it_takes_a_part() {
    let mut watched = Watched::new(LIMIT, STEP);
    let around = poll(7, 1);
    let part = inside(around, DESTRUCTOR | 8, 2);
    let looks = [[around; 3].as_slice(), &[part; 2]].concat();
    let reports: Vec<_> = looks.iter().filter_map(|seen| watched.look(*seen, STEP)).collect();
    assert_eq!(reports, [(around, STEP * 4, 1)]);
}

// fault 64
#[test]
fn what_takes_most_of_a_poll_inside_it_is_reported_in_its_place_and_the_poll_anew_after_it() {
    let mut watched = Watched::new(LIMIT, STEP);
    let around = poll(7, 1);
    let child = inside(around, CHILD | 8, 2);
    let looks = [[around; 1].as_slice(), &[child; 6], &[around; 6]].concat();
    let reports: Vec<_> = looks.iter().filter_map(|seen| watched.look(*seen, STEP)).collect();
    assert_eq!(reports, [(child, STEP * 4, 1), (around, STEP * 4, 1)]);
}

// fault 35
#[test]
fn time_in_which_the_process_was_stopped_does_not_count() {
    let mut watched = Watched::new(LIMIT, STEP);
    assert_eq!(watched.look(poll(7, 1), STEP), None);
    assert_eq!(watched.look(poll(7, 1), STEP), None);
    // Stopped for five seconds in the middle of a poll, which then ends soon.
    assert_eq!(watched.look(poll(7, 1), Duration::from_secs(5)), None);
    assert_eq!(watched.look(poll(8, 2), STEP), None);
    // One that does not end is reported all the same, if later.
    let long = Duration::from_secs(3600);
    assert_eq!((0..3).find_map(|_| watched.look(poll(8, 2), long)), None);
    assert_eq!(watched.look(poll(8, 2), long), Some((poll(8, 2), STEP * 4, 1)));
}

#[test]
fn a_loop_that_waits_begins_anew() {
    let mut watched = Watched::new(LIMIT, STEP);
    assert_eq!(look_at(&mut watched, &[poll(7, 1); 4]), []);
    watched.forget();
    assert_eq!(look_at(&mut watched, &[poll(7, 1); 4]), []);
}

#[test]
fn a_limit_of_no_time_is_a_millisecond() {
    assert_eq!(Watchdog::after(Duration::ZERO).limit, Duration::from_millis(1));
    assert_eq!(step_of(Duration::from_millis(1)), Duration::from_millis(1));
    assert_eq!(step_of(Duration::from_secs(1)), Duration::from_millis(250));
}

#[test]
fn an_item_is_known_by_its_id_as_long_as_nothing_else_begins() {
    let number = crate::inbox::LoopNumber::take().unwrap();
    let pulse = Pulse::new(number.inbox(), crate::labels::mirror());
    let place = std::panic::Location::caller();
    pulse.begin(POLL);
    pulse.run(70, place);
    let seen = pulse.look();
    assert!(!seen.is_destructor());
    assert_eq!(pulse.describe(seen), Some((70, None, Some(place))));
    pulse.running.set_left(5);
    assert_eq!(pulse.describe(seen), None, "another poll");
    pulse.drop_output(70);
    let seen = pulse.look();
    assert!(seen.is_destructor());
    assert_eq!(pulse.describe(seen), Some((70, None, Some(place))));
    // Something else in between, made elsewhere.
    let elsewhere = std::panic::Location::caller();
    pulse.begin_named(CHILD | 71, Some(elsewhere));
    assert_eq!(pulse.describe(seen), Some((70, None, Some(place))), "it goes on around that");
    assert_eq!(pulse.describe(pulse.look()), Some((71, None, Some(elsewhere))));
    // The root future, that was run nowhere.
    pulse.begin(POLL);
    assert_eq!(pulse.describe(seen), None);
    pulse.running.set(0);
    assert_eq!(pulse.describe(pulse.look()), Some((0, None, None)));
}

#[test]
fn only_a_destructor_is_one() {
    for mark in [POLL, NOTHING, MAIL, WAKER, CHILD | 5] {
        assert!(!Seen { mark, ..poll(5, 1) }.is_destructor(), "{mark:x}");
    }
    assert!(Seen { mark: DESTRUCTOR | 5, ..poll(5, 1) }.is_destructor());
}
