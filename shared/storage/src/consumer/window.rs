//! The events in the last minutes before a consumer's position. Comparing them with the index shows
//! which events were written behind the position.

use super::Position;
use models::hash;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// How far the window reaches back.
const LENGTH: Duration = Duration::from_mins(15);
/// The length of `2026-11-21T20:43`: the window is kept by the minute.
const MINUTE_CHARS: usize = 16;

/// The hashes of the events in the window, by minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Window(BTreeMap<String, HashSet<u64>>);

/// The number of the events in a window, and a digest of them that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) count: u64,
    pub(super) hash: String,
}

impl Window {
    pub(super) fn insert(&mut self, event: &Position) {
        let of_minute = self.0.entry(minute(event)).or_default();
        of_minute.insert(hash_of(event));
    }

    pub(super) fn contains(&self, event: &Position) -> bool {
        let of_minute = self.0.get(&minute(event));
        of_minute.is_some_and(|hashes| hashes.contains(&hash_of(event)))
    }

    /// Forgets the events before the window of a position.
    pub(super) fn forget_before(&mut self, start: &Position) {
        self.0 = self.0.split_off(&minute(start));
    }

    pub(super) fn digest(&self) -> Digest {
        let hashes = self.0.values().flatten();
        let (count, hash) = hashes.fold((0, 0), |(count, all), hash| (count + 1, all ^ hash));
        Digest {
            count,
            hash: format!("{hash:016x}"),
        }
    }
}

/// Where the window of a position starts: the full minute that is 15 minutes earlier, or the start
/// of the consumer.
pub(super) fn start(position: &Position, first: &Position) -> Position {
    let Some(time) = position.time() else {
        return first.clone();
    };
    let minute = Position {
        recordedtime: self::minute(&Position::at(time.before(LENGTH))),
        pk: String::new(),
        sk: String::new(),
    };
    minute.max(first.clone())
}

fn minute(position: &Position) -> String {
    let chars = position.recordedtime.chars();
    chars.take(MINUTE_CHARS).collect()
}

/// The hash of an event's time and id. A replay that moves an event to another key keeps both.
fn hash_of(event: &Position) -> u64 {
    let id = event.sk.rsplit('#').next().unwrap_or_default();
    let hex = hash(&[event.recordedtime.as_bytes(), id.as_bytes()]);
    let first = hex.get(..16).unwrap_or_default();
    u64::from_str_radix(first, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: &str, id: &str) -> Position {
        Position {
            recordedtime: time.to_owned(),
            pk: "closer#customer/1".to_owned(),
            sk: format!("2026-11-21T10:00:00.000000Z#{id}"),
        }
    }

    #[test]
    fn a_digest_depends_on_the_events_and_not_on_their_order() {
        let events = [
            event("2026-11-21T20:43:00.000000Z", "a"),
            event("2026-11-21T20:43:00.000000Z", "b"),
            event("2026-11-21T20:50:00.000000Z", "a"),
        ];
        let window = |order: [usize; 3]| {
            let mut window = Window::default();
            for index in order {
                window.insert(&events[index]);
            }
            window
        };
        let digest = window([0, 1, 2]).digest();
        assert_eq!(digest.count, 3);
        assert_eq!(window([2, 0, 1]).digest(), digest);
        assert_eq!(window([2, 0, 0]).digest().count, 2);
        let mut other = window([0, 1, 1]);
        other.insert(&event("2026-11-21T20:50:00.000001Z", "a"));
        assert_ne!(other.digest(), digest);
    }

    #[test]
    fn a_moved_event_is_the_same_one() {
        let event = event("2026-11-21T20:43:00.000000Z", "a");
        let mut window = Window::default();
        window.insert(&event);
        assert!(window.contains(&Position {
            pk: "closer#customer/2".to_owned(),
            sk: "2026-11-21T11:00:00.000000Z#a".to_owned(),
            ..event
        }));
    }

    #[test]
    fn a_window_forgets_what_is_before_its_start() {
        let position = event("2026-11-21T20:58:30.000000Z", "a");
        let first = event("2026-11-21T00:00:00.000000Z", "");
        let start = start(&position, &first);
        assert_eq!(start.recordedtime, "2026-11-21T20:43");
        let mut window = Window::default();
        let [before, within] = ["2026-11-21T20:42:59.999999Z", "2026-11-21T20:43:00.000000Z"]
            .map(|time| event(time, "a"));
        window.insert(&before);
        window.insert(&within);
        window.forget_before(&start);
        assert!(!window.contains(&before) && window.contains(&within));
        assert_eq!(self::start(&position, &position), position);
    }
}
