//! The identity of an event: its `id`, which identifies repeated deliveries. All deduplication
//! rules are in this module.
//!
//! # The rule
//!
//! 1. *An event that carries its own time is identified by its content and folds.* The same content
//!    gives the same `id` and the same key, so the second copy is not stored. The second copy can
//!    come from a retry, or from a second webhook on the same URL.
//! 2. *An event that does not carry its own time is stored at least once.* Two different events can
//!    have byte-identical content: amoCRM's digital pipeline sends neither time nor id, and a lead
//!    can move to the same stage twice a day. So the identity includes the request id and the index
//!    in the delivery, and the key begins with the arrival. A retry is stored again. It has the
//!    same `id` if the provider's request id survives a retry, and a different one if only API
//!    Gateway's request id is available. This also holds for an event with a provider's event id.
//! 3. *Two different contents never fold.* Table, queue and drain need no comparison: they use the
//!    key alone.
//!
//! # Hash input
//!
//! The `id` is a hash of the content that came over the wire. It excludes the fields that differ
//! between two attempts to deliver the same event, or between two webhooks. [`Identity`] lists the
//! input. The hash includes none of our own words (`type`, `subject`, `channel`): a better word for
//! an action must not store every event twice. The provider's own event id alone is not sufficient.
//! Only the provider's documentation says that it is assigned once. Two webhooks whose users see
//! different fields deliver one event id with two contents.
//!
//! Parsing can lose information: amoCRM's forms can contain bytes that are not UTF-8, or one field
//! twice. In this case the bytes of the whole body are hashed as well. A retry has the same bytes
//! and still folds.
//!
//! The version of this rule is hashed as well. It is raised when the rule changes. After that,
//! every event that is delivered again is stored again.
//!
//! # Events read back from an API
//!
//! A missing event can be read back from the provider's API. No API has the content that came over
//! the wire, so such an event never folds with the webhook's: whoever stores it must first look for
//! the webhook's event. Its `id` only makes it fold with itself when it is read back again.
//!
//! - Pipedrive has the state of an object. The `id` is a hash of source, subject, type and time.
//!   The object is excluded: its counters change without its `update_time`. The type is our word,
//!   because the API has none, and it distinguishes the creation from a change at the same time.
//! - amoCRM has a log of events. The `id` is a hash of the source and of the log's id.
//!
//! # Records without an event
//!
//! The name of a body that several events share depends only on the provider and the bytes. A first
//! attempt can be stored incompletely: some of its events, but not the body that they name. The
//! retry has another request id, and stores the body under the same name.
//!
//! The name of a delivery that cannot be parsed also depends on the request id. Its key begins with
//! its arrival, so a retry is stored again: its content is unknown, and so is whether it carries a
//! time.
//!
//! # Known limits
//!
//! - amoCRM's times have whole seconds. A lead that moves from A to B, back to A and to B again
//!   within one second sends the first content again. Nothing in it distinguishes the third event
//!   from a retry of the first, so it folds.
//! - Two items of one delivery that carry the same time and the same content are one event.
//! - Content outside the body is ignored. Two events that differ only in a header fold.

use crate::{Delivery, OwnTime, Timestamp, hash::hash, redacted::Bytes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the rule. It is hashed into every id.
const RULE_VERSION: &[u8] = b"1";

/// The content of an event as it came over the wire, without the fields that differ between two
/// attempts or two webhooks.
///
/// Each variant holds the provider's own words unchanged, and no words of ours.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// The provider assigns an id to every event: Pipedrive's webhooks v2.
    Named {
        /// The provider's id of the event. Case does not matter.
        event_id: String,
        /// The provider's word for the action.
        action: String,
        /// The type of the entity that changed.
        entity: String,
        /// The id of the entity that changed.
        entity_id: String,
        /// The entity that was merged into this one. With the action `change` the event is a merge.
        merged_from_id: Option<String>,
        /// The entity that this one was merged into. With the action `delete` the event is a merge.
        merged_to_id: Option<String>,
        /// The [canonical form](crate::json::canonical) of the body without its metadata.
        content: Vec<u8>,
    },
    /// The body is one event, and nothing in it identifies the event: Pipedrive's webhooks v1,
    /// Closer.
    Body {
        /// The [canonical form](crate::json::canonical) of the body, without the fields that differ
        /// between two attempts.
        content: Vec<u8>,
    },
    /// The event is one item of a body with several items: amoCRM.
    Item {
        /// The top-level name in the item's path: `leads`.
        entity: String,
        /// The name below it: `status`.
        action: String,
        /// The [canonical form](crate::json::canonical) of the item.
        content: Vec<u8>,
        /// A hash of the body without its items: of the account, or of all bytes of the body if
        /// parsing lost information.
        beside: String,
    },
    /// The event was read back from an API that has the state of objects: Pipedrive.
    HealedState {
        /// As [`Event::source`](crate::Event::source).
        source: String,
        /// As [`Event::subject`](crate::Event::subject).
        subject: String,
        /// As [`Event::type`](crate::Event#structfield.type).
        r#type: String,
        /// The time of the change.
        time: Timestamp,
    },
    /// The event was read back from an API that has a log of events: amoCRM.
    HealedEntry {
        /// As [`Event::source`](crate::Event::source).
        source: String,
        /// The log's id of the event.
        entry_id: String,
    },
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named {
                event_id,
                action,
                entity,
                entity_id,
                merged_from_id,
                merged_to_id,
                content,
            } => f
                .debug_struct("Named")
                .field("event_id", event_id)
                .field("action", action)
                .field("entity", entity)
                .field("entity_id", entity_id)
                .field("merged_from_id", merged_from_id)
                .field("merged_to_id", merged_to_id)
                .field("content", &Bytes(content.len()))
                .finish(),
            Self::Body { content } => f
                .debug_struct("Body")
                .field("content", &Bytes(content.len()))
                .finish(),
            Self::Item {
                entity,
                action,
                content,
                beside,
            } => f
                .debug_struct("Item")
                .field("entity", entity)
                .field("action", action)
                .field("content", &Bytes(content.len()))
                .field("beside", beside)
                .finish(),
            Self::HealedState {
                source,
                subject,
                r#type,
                time,
            } => f
                .debug_struct("HealedState")
                .field("source", source)
                .field("subject", subject)
                .field("type", r#type)
                .field("time", time)
                .finish(),
            Self::HealedEntry { source, entry_id } => f
                .debug_struct("HealedEntry")
                .field("source", source)
                .field("entry_id", entry_id)
                .finish(),
        }
    }
}

/// The `id` of an event. Made by [`Event::new`](crate::Event::new) alone, so that no provider can forget the rule; or read
/// back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct EventId(String);

impl EventId {
    /// The id of the event at this index in a delivery. The index starts at 0.
    pub(crate) fn new(
        identity: &Identity,
        time: OwnTime,
        delivery: &Delivery,
        index: usize,
    ) -> Self {
        let lower_case;
        let time_of_change;
        let index = index.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![RULE_VERSION];
        match identity {
            Identity::Named {
                event_id,
                action,
                entity,
                entity_id,
                merged_from_id,
                merged_to_id,
                content,
            } => {
                lower_case = event_id.to_ascii_lowercase();
                let words = [&lower_case, action, entity, entity_id];
                let merged =
                    [merged_from_id, merged_to_id].map(|id| id.as_deref().unwrap_or_default());
                parts.push(b"named");
                parts.extend(words.map(String::as_bytes));
                parts.extend(merged.map(str::as_bytes));
                parts.push(content);
            }
            Identity::Body { content } => {
                parts.push(b"body");
                parts.push(content);
            }
            Identity::Item {
                entity,
                action,
                content,
                beside,
            } => {
                parts.push(b"item");
                parts.extend([entity, action, beside].map(String::as_bytes));
                parts.push(content);
            }
            Identity::HealedState {
                source,
                subject,
                r#type,
                time: changed,
            } => {
                time_of_change = changed.to_string();
                parts.push(b"healed");
                parts.extend([source, subject, r#type, &time_of_change].map(String::as_bytes));
            }
            Identity::HealedEntry { source, entry_id } => {
                parts.push(b"healed");
                parts.extend([source, entry_id].map(String::as_bytes));
            }
        }
        match time {
            OwnTime::Given(_) => {}
            OwnTime::Missing | OwnTime::OutOfRange => {
                parts.push(delivery.origin.request_id.as_bytes());
                parts.push(&index);
            }
        }
        Self(hash(&parts))
    }

    /// Wraps a stored id that [`Event::new`](crate::Event::new) made.
    #[must_use]
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    /// The text of the id: 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of the body that the events of a delivery share.
pub(crate) fn body_name(provider: &str, body: &[u8]) -> String {
    hash(&[provider.as_bytes(), body])
}

/// The name of a delivery that cannot be parsed.
pub(crate) fn quarantine_name(provider: &str, delivery: &Delivery) -> String {
    hash(&[
        provider.as_bytes(),
        delivery.origin.request_id.as_bytes(),
        &delivery.body,
    ])
}
