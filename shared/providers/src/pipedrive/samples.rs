//! How Pipedrive's samples become other deliveries, and webhooks for events that have no sample.
//! `hookkeeper send` uses this; receivers do not.
//!
//! Sources: <https://pipedrive.readme.io/docs/guide-for-webhooks>,
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>

mod webhook_kind;

use crate::samples::{Generated, Generator, Place, SampleRules, text};
use serde_json::Value;
pub use webhook_kind::Happening;

/// The rules for Pipedrive's samples.
pub const RULES: SampleRules = SampleRules {
    ids: &[
        "meta.id",
        "meta.entity_id",
        "meta.correlation_id",
        "data.id",
        "current.id",
        "current.0.id",
        "previous.id",
        "previous.0.id",
    ],
    times: &[
        "meta.timestamp_micro",
        "meta.timestamp",
        "data.add_time",
        "data.update_time",
        "current.add_time",
        "current.update_time",
        "previous.add_time",
        "previous.update_time",
    ],
    attempts: &["meta.attempt", "retry"],
    places,
    before_change: remember,
    prefixes: &["v1", "v2"],
    is_last_choice: |event| event.apiversion.as_deref() == Some("1"),
    generator: Some(Generator {
        description: "pipedrive also sends any v1_<action>_<object> and v2_<action>_<object>, \
            like v2_delete_person.",
        names: || Happening::all().map(|happening| happening.name()).collect(),
        make: |name, samples| {
            let happening = Happening::named(name)?;
            Some(Generated {
                name: happening.name(),
                body: happening.webhook(samples)?,
            })
        },
    }),
    numbered,
    example: concat!(
        r#"{"meta":{"version":"2.0","action":"change","entity":"deal","entity_id":"42","#,
        r#""company_id":"7","id":"4ad6a8f7-2b5c-4f0e-9a63-5b8a7e1c2d3f","#,
        r#""timestamp":"2026-11-21T10:00:00.000Z"},"#,
        r#""data":{"id":42,"stage_id":3},"previous":{"stage_id":2}}"#
    ),
    ..SampleRules::NONE
};

fn numbered(number: u32) -> String {
    format!(
        r#"{{"data":{{"id":{number}}},"previous":null,"meta":{{"version":"2.0","action":"create","entity":"deal","entity_id":"{number}","company_id":"7","id":"4ad6a8f7-2b5c-4f0e-9a63-{number:012x}","timestamp":"2026-11-21T10:00:00.000Z"}}}}"#
    )
}

/// The location of the object: `data`, or `current` in version 1. If the object was deleted, it is
/// `previous`. Version 1 has a user in a list.
fn places(fields: &[(String, String)]) -> Vec<Place> {
    let mut parts = ["data", "current.0", "current", "previous.0", "previous"].into_iter();
    let part = parts.find(|part| {
        let prefix = format!("{part}.");
        fields.iter().any(|(path, _)| path.starts_with(&prefix))
    });
    match (object(fields), part) {
        (Some(object), Some(part)) => vec![Place::new(object, part, "id")],
        _ => Vec::new(),
    }
}

fn object(fields: &[(String, String)]) -> Option<&str> {
    let in_meta = text(fields, "meta.entity").or_else(|| text(fields, "meta.object"));
    in_meta.or_else(|| {
        let (_, object) = text(fields, "event")?.split_once('.')?;
        Some(object)
    })
}

/// Copies the value of a field to `previous`, before the field is changed. `path` is the path of
/// the field, or of a value inside it.
fn remember(body: &mut Value, path: &str) {
    let mut names = path.split('.');
    let (Some(part @ ("data" | "current")), Some(field)) = (names.next(), names.next()) else {
        return;
    };
    let was = body.get(part).and_then(|object| object.get(field)).cloned();
    let previous = body.get_mut("previous").and_then(Value::as_object_mut);
    if let (Some(was), Some(previous)) = (was, previous) {
        previous.insert(field.to_owned(), was);
    }
}
