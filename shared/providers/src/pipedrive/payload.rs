//! Parser of Pipedrive's webhooks: JSON, versions 1 and 2, one event each.
//!
//! Sources: <https://pipedrive.readme.io/docs/guide-for-webhooks>,
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>,
//! <https://pipedrive.readme.io/docs/webhooks-v2-migration-guide>

use super::PIPEDRIVE;
use models::{
    Delivery, Event, EventDraft, Identity, OwnTime, ParseError, Parsed,
    json::{self, Lenient, Text},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Parses a webhook, which is always one event.
pub(super) fn parse(delivery: &Delivery) -> Parsed {
    let raw = json::check(&delivery.body)?;
    let webhook: Webhook = json::object(raw).ok_or_else(unknown_shape)?;
    let meta = webhook.meta.0.as_ref().ok_or_else(unknown_shape)?;
    let draft = if meta.entity.get().is_some() {
        v2(meta, &webhook, raw)?
    } else {
        v1(meta, &webhook, raw)?
    };
    Ok(vec![Event::new(delivery, draft)])
}

fn unknown_shape() -> ParseError {
    ParseError::UnknownShape {
        provider: PIPEDRIVE.name.to_owned(),
    }
}

/// Version 2: `meta` has `entity` and `action`, and every event has an id.
fn v2(meta: &Meta, webhook: &Webhook, raw: &RawValue) -> Result<EventDraft, ParseError> {
    const SHAPE: &str = "webhooks v2 event";
    let object = meta.entity.require(SHAPE, "meta.entity")?;
    let action = meta.action.require(SHAPE, "meta.action")?;
    let id = entity_id(&meta.entity_id, webhook, SHAPE, "meta.entity_id")?;
    // Pipedrive reports the survivor of a merge as a `change` that names the merged entity.
    let word = if action == "change" && meta.merged_from_id.get().is_some() {
        "merged"
    } else {
        word(action)
    };
    let event_id = meta.id.get();
    let event_id = event_id.filter(|event_id| names_the_event(event_id, &id));
    let identity = match event_id {
        Some(event_id) => Identity::Named {
            event_id: event_id.to_owned(),
            action: action.to_owned(),
            entity: object.to_owned(),
            entity_id: id.clone(),
            merged_from_id: meta.merged_from_id.get().map(str::to_owned),
            merged_to_id: meta.merged_to_id.get().map(str::to_owned),
            content: json::canonical(raw, NOT_CONTENT),
        },
        None => Identity::Body {
            content: json::canonical(raw, NOT_THE_EVENTS_OWN),
        },
    };
    Ok(EventDraft {
        source: source(meta),
        r#type: format!("com.pipedrive.{object}.{word}"),
        subject: format!("{object}/{id}"),
        time: OwnTime::parse(meta.timestamp.get()),
        identity,
        index: 0,
        dataschema: None,
        originaltype: format!("{action}.{object}"),
        apiversion: meta.version.get().map(str::to_owned),
        channel: None,
        eventid: event_id.map(str::to_owned),
        data: raw.to_owned(),
    })
}

/// Version 1: `meta` has `object` and `action`; `event` has both in one word (`updated.deal`). No
/// event has an id.
fn v1(meta: &Meta, webhook: &Webhook, raw: &RawValue) -> Result<EventDraft, ParseError> {
    const SHAPE: &str = "webhooks v1 event";
    let (event_action, event_object) = webhook
        .event
        .get()
        .and_then(|event| event.split_once('.'))
        .unzip();
    let action = meta
        .action
        .get()
        .or(event_action)
        .ok_or_else(unknown_shape)?;
    let object = meta
        .object
        .get()
        .or(event_object)
        .filter(|object| !object.is_empty())
        .ok_or_else(unknown_shape)?;
    let id = entity_id(&meta.id, webhook, SHAPE, "meta.id")?;
    Ok(EventDraft {
        source: source(meta),
        r#type: format!("com.pipedrive.{object}.{}", word(action)),
        subject: format!("{object}/{id}"),
        time: OwnTime::first([meta.timestamp_micro.get(), meta.timestamp.get()]),
        identity: Identity::Body {
            content: json::canonical(raw, NOT_THE_EVENTS_OWN),
        },
        index: 0,
        dataschema: None,
        originaltype: webhook
            .event
            .get()
            .map_or_else(|| format!("{action}.{object}"), str::to_owned),
        apiversion: meta.v.get().or(webhook.v.get()).map(str::to_owned),
        channel: None,
        eventid: None,
        data: raw.to_owned(),
    })
}

/// Returns the id of the entity: from `meta`, or else from the entity itself.
fn entity_id(
    from_meta: &Text,
    webhook: &Webhook,
    shape: &str,
    field: &str,
) -> Result<String, ParseError> {
    let from_meta = from_meta.get().map(str::to_owned);
    let id = from_meta.or_else(|| webhook.own_id());
    id.ok_or_else(|| ParseError::Missing {
        shape: shape.to_owned(),
        field: field.to_owned(),
    })
}

/// Members that differ between two attempts to deliver one event, or between two webhooks
/// registered on one URL. `meta.type` is the type of the webhook (`general`, or `application` for
/// an app's).
const NOT_THE_EVENTS_OWN: &[&[&str]] = &[
    &["retry"],
    &["matches_filters"],
    &["meta", "attempt"],
    &["meta", "webhook_id"],
    &["meta", "webhook_owner_id"],
    &["meta", "correlation_id"],
    &["meta", "matches_filters"],
    &["meta", "type"],
];

/// The same for an event that has an id. The members of `meta` other than the ids and words in
/// [`Identity::Named`] belong to the attempt, the webhook or its user.
const NOT_CONTENT: &[&[&str]] = &[&["meta"], &["retry"], &["matches_filters"]];

/// Our word for an action that has different words in versions 1 and 2. Any other action keeps
/// Pipedrive's word.
fn word(action: &str) -> &str {
    match action {
        "added" | "create" => "created",
        "change" => "updated",
        "delete" => "deleted",
        own => own,
    }
}

fn source(meta: &Meta) -> String {
    match meta.company_id.get().or(meta.host.get()) {
        Some(company) => format!("{}/{company}", PIPEDRIVE.name),
        None => PIPEDRIVE.name.to_owned(),
    }
}

/// Returns `true` if `meta.id` is an id of the event. `user` events repeat the user's id there, and
/// leads have UUIDs of their own. Neither identifies the event.
fn names_the_event(meta_id: &str, entity_id: &str) -> bool {
    is_uuid(meta_id) && meta_id != entity_id
}

/// Returns `true` if a text has the shape of a UUID: hexadecimal digits in groups of 8, 4, 4, 4 and
/// 12.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(|group| {
        (
            group.len(),
            group.bytes().all(|byte| byte.is_ascii_hexdigit()),
        )
    });
    groups.eq([8, 4, 4, 4, 12].map(|len| (len, true)))
}

/// The fields of a webhook of either version that the parser uses. All other fields only pass
/// through in the event's `data`.
///
/// Every field may be a string or a number: version 1 sends `meta.id` as either, version 2 prints
/// ids as strings, and public samples have numbers there.
#[derive(Deserialize)]
struct Webhook<'a> {
    #[serde(default)]
    meta: Lenient<Meta>,
    /// Version 1: `updated.deal`.
    #[serde(default)]
    event: Text,
    /// Version 1: `1`.
    #[serde(default)]
    v: Text,
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
struct Meta {
    action: Text,
    company_id: Text,
    host: Text,
    id: Text,
    timestamp: Text,
    // Version 1 only.
    object: Text,
    timestamp_micro: Text,
    v: Text,
    // Version 2 only.
    entity: Text,
    entity_id: Text,
    merged_from_id: Text,
    merged_to_id: Text,
    version: Text,
}

impl Webhook<'_> {
    /// The id in the object itself, for a `meta` without it.
    fn own_id(&self) -> Option<String> {
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
    let object: Option<Object> = json::object(raw);
    if let Some(object) = object {
        return object.id.0;
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    json::object::<Object>(list.first()?)?.id.0
}
