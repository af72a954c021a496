//! Messages about events that the relay gives up.

use crate::Outgoing;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use storage::{
    Failure, Key,
    schema::{Item, ItemError, key},
};

/// A message about an event that the relay gives up: its key, and why. It contains no payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The key of the event's item.
    #[serde(flatten)]
    pub key: Key,
    /// The event's `id`.
    pub id: String,
    /// `refused`, `other_version` or `malformed`.
    pub reason: String,
    /// The error code of EventBridge, if it refused the event.
    pub code: Option<String>,
}

impl DeadLetter {
    /// The bus refuses the event, also without its data.
    pub(crate) fn refused(event: &Outgoing, failure: &Failure) -> Self {
        Self {
            key: event.key().clone(),
            id: event.id(),
            reason: "refused".to_owned(),
            code: Some(failure.word().to_owned()),
        }
    }

    /// This version cannot read the item with these keys.
    pub(crate) fn unreadable(keys: &Item, error: ItemError) -> Self {
        let key = key(keys);
        let id = key.sk.split_once('#').map_or("", |(_, id)| id).to_owned();
        let reason = match error {
            ItemError::OtherVersion => "other_version",
            ItemError::Malformed | ItemError::Chunks => "malformed",
        };
        Self {
            key,
            id,
            reason: reason.to_owned(),
            code: None,
        }
    }

    /// The message in JSON. It is ASCII, because SQS takes only some of Unicode's characters.
    #[must_use]
    pub fn message(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut message = String::with_capacity(json.len());
        for char in json.chars() {
            if char.is_ascii() {
                message.push(char);
                continue;
            }
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                write!(message, "\\u{unit:04x}").ok();
            }
        }
        message
    }
}
