//! The published JSON Schema of the event: it matches this version, it and the CloudEvents schema
//! accept every stored event of a sample, and it rejects invalid events.

use jsonschema::Validator;
use models::Record;
use providers::Provider;
use serde_json::{Value, json};
use std::{fs, process::Command, slice};
use testkit::{
    deployment::deliver,
    runtime_api::binary,
    samples::{Sample, samples},
    workspace,
};

/// A validator of a schema in a file, which checks the formats too (`date-time`, `uri-reference`).
fn validator(path: &str) -> Validator {
    let schema = serde_json::from_str(&fs::read_to_string(workspace(path)).unwrap()).unwrap();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}

fn ours() -> Validator {
    validator("shared/models/event.schema.json")
}

#[test]
fn the_published_schema_matches_this_version() {
    let output = Command::new(binary("hookkeeper"))
        .arg("schema")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let published =
        fs::read_to_string(workspace("shared/models/event.schema.json")).unwrap_or_default();
    assert!(
        String::from_utf8(output.stdout).unwrap() == published,
        "shared/models/event.schema.json is stale: cargo hookkeeper schema > shared/models/event.schema.json"
    );
}

#[tokio::test]
async fn every_sample_event_is_valid_by_our_schema_and_by_cloudevents() {
    let schemas = [
        ("our schema", ours()),
        ("CloudEvents", validator("tests/schemas/cloudevents.json")),
    ];
    for provider in providers::ALL {
        for (sample, event) in events(provider).await {
            for (name, schema) in &schemas {
                let errors: Vec<_> = schema
                    .iter_errors(&event)
                    .map(|error| error.to_string())
                    .collect();
                assert!(
                    errors.is_empty(),
                    "{sample} is no event by {name}: {errors:#?} {event:#}"
                );
            }
        }
    }
}

/// The events of all stored samples, as JSON, with the names of the samples.
async fn events(provider: Provider) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    for Sample { name, event, .. } in samples(&provider) {
        if !name.split('.').any(|word| word == "stored") {
            continue;
        }
        let (_, stored) = deliver(provider, slice::from_ref(&event)).await;
        let of_sample = stored.iter().filter_map(|stored| match &stored.record {
            Record::Event { event, .. } => {
                Some((name.clone(), serde_json::to_value(event).unwrap()))
            }
            Record::Body { .. } | Record::Quarantined { .. } => None,
        });
        let before = events.len();
        events.extend(of_sample);
        assert!(events.len() > before, "{name} left no event");
    }
    events
}

#[test]
fn the_schema_rejects_invalid_events() {
    let event = json!({
        "specversion": "1.0",
        "id": "4ad6a8f7-2b5c-4f0e-9a63-5b8a7e1c2d3f",
        "source": "pipedrive/7",
        "type": "com.pipedrive.deal.updated",
        "subject": "deal/42",
        "time": "2026-11-21T10:00:00.000000Z",
        "datacontenttype": "application/json",
        "originaltype": "change.deal",
        "apiversion": "2.0",
        "data": { "any": ["thing", null] },
    });
    let schema = ours();
    assert!(schema.is_valid(&event));
    let required = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "originaltype",
        "data",
    ];
    for attribute in required {
        let mut without = event.clone();
        without.as_object_mut().unwrap().remove(attribute);
        assert!(!schema.is_valid(&without), "without {attribute}");
    }
    for (attribute, value) in [
        ("specversion", json!("0.3")),
        ("specversion", json!(1.0)),
        ("id", json!("")),
        ("id", json!(42)),
        ("source", json!("x".repeat(513))),
        ("subject", json!("")),
        ("subject", json!("x".repeat(1025))),
        ("type", json!("x".repeat(513))),
        ("time", json!("2026-11-21T10:00:00.000000")),
        ("time", json!("2026-11-21T10:00:00+03:00")),
        ("time", json!("2026-13-21T10:00:00.000000Z")),
        ("time", json!(1_795_255_200)),
        ("datacontenttype", json!("text/plain")),
        ("originaltype", json!(null)),
        ("apiversion", json!(2)),
        ("apiversion", json!(null)),
        ("channel", json!(["account"])),
        ("timeproblem", json!("late")),
    ] {
        let mut other = event.clone();
        other[attribute] = value;
        assert!(
            !schema.is_valid(&other),
            "{attribute}: {}",
            other[attribute]
        );
    }
    let mut more = event;
    more["another"] = json!("attribute");
    more["data"] = json!(null);
    assert!(schema.is_valid(&more), "a later version may say more");
}
