//! The fields of a Pipedrive webhook of either version that the parser uses. All other fields only
//! pass through in the event's `data`.
//!
//! Every field may be a string or a number: version 1 sends `meta.id` as either, version 2 prints
//! ids as strings, and public samples have numbers there.

use models::json::{self, Lenient, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(crate) struct Webhook<'a> {
    #[serde(default)]
    pub(crate) meta: Lenient<Meta>,
    /// Version 1: `updated.deal`.
    #[serde(default)]
    pub(crate) event: Text,
    /// Version 1: `1`.
    #[serde(default)]
    pub(crate) v: Text,
    /// Version 2: the object after the event; `null` if it was deleted.
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    /// Version 1: the same.
    #[serde(default, borrow)]
    current: Option<&'a RawValue>,
    /// The object before the event. In a `change` of version 2, only the changed fields.
    #[serde(default, borrow)]
    previous: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Meta {
    pub(crate) action: Text,
    pub(crate) company_id: Text,
    pub(crate) host: Text,
    pub(crate) id: Text,
    pub(crate) timestamp: Text,
    // Version 1 only.
    pub(crate) object: Text,
    pub(crate) timestamp_micro: Text,
    pub(crate) v: Text,
    // Version 2 only.
    pub(crate) entity: Text,
    pub(crate) entity_id: Text,
    pub(crate) merged_from_id: Text,
    pub(crate) merged_to_id: Text,
    pub(crate) version: Text,
}

impl Webhook<'_> {
    /// The id in the object itself, for a `meta` without it.
    pub(crate) fn own_id(&self) -> Option<String> {
        [self.data, self.current, self.previous]
            .into_iter()
            .flatten()
            .find_map(id_of)
    }
}

/// The `id` of an object, or of the first one in a list: version 1 sends users in lists of one.
fn id_of(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        id: Text,
    }
    let first = || {
        serde_json::from_str::<Vec<&RawValue>>(raw.get())
            .ok()?
            .into_iter()
            .next()
            .and_then(json::object)
    };
    json::object::<Object>(raw).or_else(first)?.id.0
}
