//! What happened in an account, and how it is recognized in a table.

use crate::api::Notice;
use serde_json::Value;
use std::time::Duration;

/// Something that happened in an account.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    /// The subject of its event.
    pub(super) subject: String,
    /// The action of its event: `created`.
    pub(super) action: &'static str,
    /// When, since 1970.
    pub(super) at: Duration,
    /// The time that the API shows for it, since 1970.
    pub(super) shown: Duration,
    /// The mark of the delivery that reports it. `None`: no webhook does.
    pub(super) mark: Option<Mark>,
    /// Whether the API shows it.
    pub(super) is_shown: bool,
}

/// What all copies of an event have in common, and no other event has.
pub(super) type Mark = String;

/// The mark of a delivery.
pub(super) fn mark(notice: &Notice) -> Mark {
    mark_of_body(notice.content_type == "application/json", &notice.body)
}

/// The mark of a body: of JSON the provider's id of the event, of a form its sorted values. A lead
/// that moves is sent twice with the same values, as a change of the status and as an update.
pub(super) fn mark_of_body(is_json: bool, body: &str) -> Mark {
    if is_json {
        let body: Value = serde_json::from_str(body).unwrap();
        return body["meta"]["id"].as_str().unwrap().to_owned();
    }
    let pairs = form_urlencoded::parse(body.as_bytes());
    let pairs = pairs.filter(|(name, _)| !name.starts_with("account["));
    let values = pairs.map(|(_, value)| value.into_owned()).collect();
    of_values(
        values,
        body.starts_with("leads%5Bstatus") || body.contains("&leads%5Bstatus"),
    )
}

/// The mark of an item of a form that was stored as JSON, as an event with this action.
pub(super) fn mark_of_item(action: &str, item: &Value) -> Mark {
    let mut values = Vec::new();
    collect(item, &mut values);
    of_values(values, action == "status_changed")
}

fn collect(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|member| collect(member, values)),
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, values)),
        Value::String(text) => values.push(text.clone()),
        other => values.push(other.to_string()),
    }
}

fn of_values(mut values: Vec<String>, is_status: bool) -> Mark {
    values.sort_unstable();
    values.push(is_status.to_string());
    values.join("\n")
}

/// The value of a field of a form whose name ends with a text.
pub(super) fn field(body: &str, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(body.as_bytes());
    let found = pairs.find(|(field, _)| field.ends_with(name));
    found.unwrap().1.into_owned()
}
