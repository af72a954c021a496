//! The identity of an event: its `id`, by which a delivery that comes again is recognised. Deduplication has this one home.
//!
//! # The rule
//!
//! 1. *An event that carries its own time is identified by its content and folds.* The same content gives the same `id` and
//!    the same key, so that the second one is not stored: a retry, or the copy of a second webhook on the same URL.
//! 2. *An event that does not carry its own time is stored at least once.* Its content can be byte-identical and yet be
//!    another event: amoCRM's digital pipeline sends neither time nor id, and a lead can move to the same stage twice a day.
//!    So the request id and the place in the delivery are part of its identity, and its key begins with the arrival. A retry
//!    is stored again. It has the same `id` where the provider's request id survives a retry, and another one where API
//!    Gateway's request id has to do. This holds for an event with an id of the provider too.
//! 3. *Two different contents never fold.* Table, queue and drain need no comparison: they go by the key alone.
//!
//! # What is hashed
//!
//! The `id` is a hash of what came over the wire, without what differs between two attempts to deliver the same event or
//! between two webhooks ([`Identity`] lists it). None of our own words is hashed (`type`, `subject`, `channel`): a better
//! word for an action must not store every event twice. The provider's own event id alone is not enough. Nothing but the
//! provider's documentation says that it is given once, and two webhooks whose users see different fields deliver one event
//! id with two contents.
//!
//! Reading can lose something: amoCRM's forms can have bytes that are not UTF-8, or one field twice. Where it does, the bytes
//! of the whole body are hashed as well. A retry has the same bytes and still folds.
//!
//! A version of this rule is hashed as well. It is raised when the rule changes. Then every event that comes again is
//! stored again.
//!
//! # What is stored beside the events
//!
//! The body that several events share is named by the provider and its bytes alone. A first attempt can be stored in part:
//! some of its events, and not the body that they name. The retry has another request id, and stores the body under the
//! same name.
//!
//! A delivery that cannot be read is named by its request id as well. Its key begins with its arrival, so that a retry is
//! stored again: what it says, and whether it says when, is not known.
//!
//! # Known limits
//!
//! - amoCRM's times have whole seconds. A lead that goes from A to B, back to A and to B again within one second sends the
//!   first content again. Nothing in it tells the third event from a retry of the first, so it folds.
//! - Two items of one delivery that carry the same time and the same content are one event.
//! - What a provider leaves out of the body is not seen. Two events that differ in a header alone fold.

use crate::{Delivery, OwnTime, hash::hash, redacted::Bytes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the rule. It is hashed into every id.
const RULE_VERSION: &[u8] = b"1";

/// What came over the wire of an event, without what differs between two attempts or two webhooks.
///
/// Each variant holds the provider's own words as they came, and no words of ours.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// The provider gives every event an id: Pipedrive's webhooks v2.
    Named {
        /// The provider's id of the event. Upper and lower case are the same one.
        event_id: String,
        /// What happened.
        action: String,
        /// What kind of thing it happened to.
        entity: String,
        /// Which thing it happened to.
        entity_id: String,
        /// What was merged into it: with the action `change` this is a merge.
        merged_from_id: Option<String>,
        /// What it was merged into: with the action `delete` this is a merge.
        merged_to_id: Option<String>,
        /// The [canonical form](crate::json::canonical) of the body without its metadata.
        content: Vec<u8>,
    },
    /// The body is one event, and nothing in it names the event: Pipedrive's webhooks v1, Closer.
    Body {
        /// The [canonical form](crate::json::canonical) of the body, without what differs between two attempts.
        content: Vec<u8>,
    },
    /// The event is one item of a body with several: amoCRM.
    Item {
        /// The name that the item stands under: `leads`.
        entity: String,
        /// The name below it: `status`.
        action: String,
        /// The [canonical form](crate::json::canonical) of the item.
        content: Vec<u8>,
        /// A hash of what the body says beside its items: of the account, or of all its bytes where reading lost something.
        beside: String,
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
    /// The id of the event at this place in a delivery, counted from 0.
    pub(crate) fn new(
        identity: &Identity,
        time: OwnTime,
        delivery: &Delivery,
        index: usize,
    ) -> Self {
        let lower_case;
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
        }
        match time {
            OwnTime::Given(_) => {}
            OwnTime::Missing | OwnTime::Absurd => {
                parts.push(delivery.request_id.as_bytes());
                parts.push(&index);
            }
        }
        Self(hash(&parts))
    }

    /// An id that [`Event::new`](crate::Event::new) made, read back from where it was stored.
    #[must_use]
    pub fn stored(id: String) -> Self {
        Self(id)
    }

    /// Its text: 32 hexadecimal digits.
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

/// The name of a delivery that cannot be read.
pub(crate) fn quarantine_name(provider: &str, delivery: &Delivery) -> String {
    hash(&[
        provider.as_bytes(),
        delivery.request_id.as_bytes(),
        &delivery.body,
    ])
}
