//! The trace of an erasure: it says that a record or a subject was erased, and when, without
//! personal data. It holds a hash of the key, and it never expires.

use super::{Head, Item, Key, Kind, attribute, to_item};
use models::{Timestamp, hash};
use serde::{Deserialize, Serialize};

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased<'a> {
    /// The record with this key, and its chunks.
    Record(&'a Key),
    /// All events of a subject that had arrived.
    Subject {
        /// The source. `None`: every source.
        source: Option<&'a str>,
        /// The subject.
        subject: &'a str,
    },
}

impl Erased<'_> {
    /// Returns the sort key: the same for the same record or subject.
    pub(crate) fn sk(&self) -> String {
        match self {
            Self::Record(key) => {
                format!("record#{}", hash(&[key.pk.as_bytes(), key.sk.as_bytes()]))
            }
            Self::Subject { source, subject } => {
                let source = source.unwrap_or_default();
                format!("subject#{}", hash(&[source.as_bytes(), subject.as_bytes()]))
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ErasureItem {
    #[serde(flatten)]
    head: Head,
    erasedtime: Timestamp,
}

/// Encodes an erasure at a time.
#[must_use]
pub fn encode(erased: &Erased, time: Timestamp) -> Item {
    let key = Key {
        pk: pk(&time.day()),
        sk: erased.sk(),
    };
    to_item(&ErasureItem {
        head: Head::new(key, Kind::Erasure, None),
        erasedtime: time,
    })
}

/// Returns the partition key of the erasures of a day.
pub(crate) fn pk(day: &str) -> String {
    format!("erasure#{day}")
}

/// Returns when something was erased.
pub(crate) fn time(item: &Item) -> Option<Timestamp> {
    Timestamp::parse(attribute(item, "erasedtime")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// examples/restore_table.py makes the same one.
    #[test]
    fn the_sort_key_of_a_record_is_a_hash_of_its_key() {
        let key = Key {
            pk: "closer#customer/1".to_owned(),
            sk: "2026-11-21T10:00:00.000000Z#id".to_owned(),
        };
        let sk = Erased::Record(&key).sk();
        assert_eq!(sk, "record#f14b6735db01cb3a98bf05f140405d6b");
    }
}
