//! Handle of an event or of a quarantined delivery: a short name that finds it without a search. It
//! consists of the second in which the item was stored or arrived, in base 36, and of the beginning
//! of its id: `tcxk8q-4ad6a8`.

use models::Timestamp;
use std::{fmt, ops::Range, str::FromStr, time::Duration};
use storage::{IndexEntry, Key, Stored};

const DIGITS: u32 = 36;
/// Number of characters of the id in a printed handle. A user may give more.
const ID_CHARS: usize = 6;

/// Short name of an event or of a quarantined delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    second: u64,
    id: String,
}

impl Handle {
    fn new(time: Timestamp, id: &str) -> Self {
        let second = u64::try_from(time.as_seconds()).unwrap_or_default();
        Self {
            second,
            id: id.chars().take(ID_CHARS).collect(),
        }
    }

    /// Handle of an event in the index.
    pub(crate) fn for_entry(entry: &IndexEntry) -> Self {
        Self::new(entry.recorded, &entry.event.id)
    }

    /// Handle of a stored event.
    pub(crate) fn for_event(stored: &Stored) -> Self {
        Self::new(stored.recorded.unwrap_or(Timestamp::EPOCH), id(&stored.key))
    }

    /// Handle of the event with a key that was recorded at a time.
    pub(crate) fn for_recorded(time: Timestamp, key: &Key) -> Self {
        Self::new(time, id(key))
    }

    /// Handle of a quarantined delivery.
    pub(crate) fn for_quarantined(key: &Key) -> Self {
        Self::new(arrival(key).unwrap_or(Timestamp::EPOCH), id(key))
    }

    /// Time span of one second in which the item was stored or arrived.
    pub(crate) fn span(&self) -> Range<Timestamp> {
        let [start, end] = [self.second, self.second.saturating_add(1)]
            .map(|second| Timestamp::from_unix(Duration::from_secs(second)));
        start..end
    }

    /// Whether an item with this id may have this handle. The case of letters does not matter, as
    /// in the time.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        let beginning = id.as_bytes().get(..self.id.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(self.id.as_bytes()))
    }
}

/// Arrival time in a sort key, before the id.
pub(crate) fn arrival(key: &Key) -> Option<Timestamp> {
    let (arrival, _) = key.sk.split_once('#')?;
    Timestamp::parse(arrival)
}

/// Id in a sort key, after the time.
pub(crate) fn id(key: &Key) -> &str {
    key.sk.split_once('#').map_or("", |(_, id)| id)
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::new();
        let mut rest = self.second;
        while rest > 0 {
            let digit = u32::try_from(rest % u64::from(DIGITS)).unwrap_or_default();
            digits.extend(char::from_digit(digit, DIGITS));
            rest /= u64::from(DIGITS);
        }
        let second: String = digits.into_iter().rev().collect();
        f.pad(&format!("{second}-{}", self.id))
    }
}

impl FromStr for Handle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "expected a handle as the list prints it, like tcxk8q-4ad6a8";
        let (second, id) = text.split_once('-').ok_or(wrong)?;
        Ok(Self {
            second: u64::from_str_radix(second, DIGITS).map_err(|_| wrong)?,
            id: id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_contains_the_second_of_its_item() {
        let time = Timestamp::parse("2026-11-21T21:16:17.002029Z").unwrap();
        let handle = Handle::new(time, "4ad6a8f7-2b5c-4f0e-9a63-5b8a7e1c2d3f");
        let parsed: Handle = handle.to_string().parse().unwrap();
        assert_eq!(parsed, handle);
        assert!(parsed.span().contains(&time) && parsed.is_of("4ad6a8f7-2b5c"));
        let uppercase: Handle = handle.to_string().to_uppercase().parse().unwrap();
        assert!(
            uppercase.span().contains(&time)
                && uppercase.is_of("4ad6a8f7-2b5c")
                && !uppercase.is_of("4ad6")
        );
        for wrong in ["", "4ad6a8", "!-4ad6a8"] {
            assert!(wrong.parse::<Handle>().is_err(), "{wrong}");
        }
    }
}
