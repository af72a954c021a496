//! Compares an object that Pipedrive's API shows with the last event of it.
//!
//! Counters, followers and mail move `update_time`, and no webhook reports that. Then nothing else
//! differs.
//!
//! The shapes differ too:
//!
//! - A webhook of version 2 has `{"type", "value"}` for a custom field, and version 1 and a list of
//!   leads have custom fields beside the others.
//! - Numbers are texts in some places, and flags are numbers.
//! - Times and counters are not compared. A member that only one side has, with a value, may be a
//!   difference or not.

use crate::api::change::Difference;
use models::{Event, json::object};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeSet;

type Members = Map<String, Value>;

/// The beginnings of names that no webhook reports.
const COUNTERS: [&str; 7] = [
    "activities_",
    "followers_",
    "last_activity_",
    "last_incoming_mail_",
    "last_outgoing_mail_",
    "next_activity_",
    "email_messages_",
];
/// The ends of such names, and of times that move with another member.
const ENDS: [&str; 3] = ["_count", "_time", "_timestamp"];
const CUSTOM_FIELDS: &str = "custom_fields";

/// The object of an event: of version 2, or of one that was read back, and of version 1.
#[derive(Deserialize)]
struct Body {
    #[serde(alias = "current")]
    data: Option<Members>,
}

/// Compares an object with the last event of it.
pub(super) fn difference(shown: &RawValue, last: &Event) -> Difference {
    let body: Option<Body> = object(&last.data);
    let stored = body.and_then(|body| body.data);
    let (Some(stored), Some(shown)) = (stored, object(shown)) else {
        return Difference::Unknown;
    };
    let (shown, stored) = (reported(shown), reported(stored));
    let names: BTreeSet<&String> = shown.keys().chain(stored.keys()).collect();
    let differences: Vec<Difference> = names
        .into_iter()
        .map(|name| difference_of_values(shown.get(name), stored.get(name)))
        .collect();
    if differences.contains(&Difference::Found) {
        Difference::Found
    } else if differences.is_empty() || differences.contains(&Difference::Unknown) {
        Difference::Unknown
    } else {
        Difference::None
    }
}

fn difference_of_values(shown: Option<&Value>, stored: Option<&Value>) -> Difference {
    let (Some(shown), Some(stored)) = (shown, stored) else {
        let is_null = [shown, stored].into_iter().flatten().all(Value::is_null);
        return if is_null {
            Difference::None
        } else {
            Difference::Unknown
        };
    };
    match (scalar(shown), scalar(stored)) {
        _ if shown == stored => Difference::None,
        (Some(shown), Some(stored)) if shown == stored => Difference::None,
        (Some(_), Some(_)) => Difference::Found,
        // A list or an object may have another shape in a webhook.
        _ => Difference::Unknown,
    }
}

/// The members that a webhook reports, with the custom fields among them.
fn reported(mut members: Members) -> Members {
    if let Some(Value::Object(fields)) = members.remove(CUSTOM_FIELDS) {
        let fields = fields.into_iter();
        members.extend(fields.map(|(name, field)| (name, value_of_field(field))));
    }
    members.retain(|name, _| is_reported(name));
    members
}

fn is_reported(name: &str) -> bool {
    let is_counter = COUNTERS.iter().any(|beginning| name.starts_with(beginning))
        || ENDS.iter().any(|end| name.ends_with(end));
    name != "id" && !is_counter
}

/// The value of a custom field, which a webhook gives with its type.
fn value_of_field(field: Value) -> Value {
    match field {
        Value::Object(mut typed) if typed.len() == 2 && typed.contains_key("type") => {
            typed.remove("value").unwrap_or(Value::Object(typed))
        }
        field => field,
    }
}

/// A value that is neither a list nor an object, as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
