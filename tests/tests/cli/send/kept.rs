//! Sent samples are stored with the verdict in their name.

use super::{sendable, sent, sorted};
use models::{Event, Record};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::dev::Dev;

#[test]
fn the_list_has_every_sample() {
    for provider in providers::ALL {
        let listed = sent(&["--list", provider.name]);
        let names: Vec<_> = listed
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<_> = sendable(&provider)
            .into_iter()
            .map(|(name, ..)| name)
            .collect();
        assert_eq!(names, expected, "{}", provider.name);
        assert!(
            listed
                .iter()
                .all(|row| row["provider"] == provider.name && is_told(row))
        );
    }
}

fn is_told(row: &Value) -> bool {
    // A delivery of which only some items can be parsed has both.
    !row["types"].as_array().unwrap().is_empty() || row["quarantined"].is_string()
}

#[tokio::test]
async fn every_listed_sample_gets_the_verdict_in_its_name() {
    let dev = Dev::start("memory");
    let local = format!("--local={}", dev.port());
    let (mut told, mut reasons) = (Vec::new(), Vec::new());
    for provider in providers::ALL {
        for (name, verdict, _) in sendable(&provider) {
            let lines = sent(&[provider.name, &name, &local]);
            let [line] = &lines[..] else {
                panic!("{name}: {lines:?}")
            };
            assert_eq!(
                (&line["status"], &line["attempt"]),
                (&json!(200), &json!(1)),
                "{name}"
            );
            let events = line["events"].as_array().unwrap();
            let ended = match (line["quarantined"].as_str(), events.len()) {
                (Some(reason), _) => format!("quarantined.{reason}"),
                (None, 1) => "stored".to_owned(),
                (_, count) => format!("stored.{count}"),
            };
            assert_eq!(ended, verdict, "{}/{name}", provider.name);
            told.extend(events.iter().cloned());
            reasons.extend(line["quarantined"].as_str().map(str::to_owned));
        }
    }
    let records = dev.table().records().await.unwrap();
    let quarantined = records
        .iter()
        .filter_map(Record::reason)
        .map(|reason| reason.code.clone());
    assert_eq!(sorted(quarantined), sorted(reasons));
    assert_are_kept(&told, &events(records));
}

/// Asserts that the stored events are those that the command reported.
fn assert_are_kept(told: &[Value], kept: &[Event]) {
    let names = |event: &Event| {
        (
            event.r#type.clone(),
            event.source.clone(),
            event.subject.clone(),
        )
    };
    let word = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let told_names = told.iter().map(|event| {
        (
            word(event, "type"),
            word(event, "source"),
            word(event, "subject"),
        )
    });
    assert_eq!(sorted(kept.iter().map(names)), sorted(told_names));
    let ids: BTreeSet<_> = kept.iter().map(|event| event.id.as_str()).collect();
    for event in told {
        assert!(
            event["id"].as_str().is_none_or(|id| ids.contains(id)),
            "{event} is kept under another id"
        );
    }
    assert!(told.iter().filter(|event| event["id"].is_string()).count() > 100);
}

#[tokio::test]
async fn a_duplicate_delivery_is_stored_once() {
    let dev = Dev::start("memory");
    let local = format!("--local={}", dev.port());
    let names = [
        ("pipedrive", "v1_updated_deal"),
        ("pipedrive", "v2_change_deal"),
        ("pipedrive", "v2_create_user"),
        ("amocrm", "leads_status"),
        ("closer", "closed"),
    ];
    for (provider, name) in names {
        let lines = sent(&[provider, name, "--duplicate", "--count", "2", &local]);
        let attempts = lines.iter().map(|line| line["attempt"].as_u64().unwrap());
        assert_eq!(sorted(attempts), [1, 1, 2, 2], "{name}");
    }
    let kept = events(dev.table().records().await.unwrap());
    assert_eq!(kept.len(), 2 * names.len(), "{kept:#?}");
    sent(&["amocrm", "dp_status", "--duplicate", &local]);
    let kept = events(dev.table().records().await.unwrap());
    assert_eq!(
        kept.len(),
        2 * names.len() + 2,
        "what has no time of its own is kept at least once"
    );
}

#[tokio::test]
async fn a_batch_is_several_items_in_one_delivery() {
    let dev = Dev::start("memory");
    let local = format!("--local={}", dev.port());
    let lines = sent(&["amocrm", "leads_add", "--batch", "3", &local]);
    assert_eq!(
        (lines.len(), lines[0]["events"].as_array().unwrap().len()),
        (1, 3)
    );
    let records = dev.table().records().await.unwrap();
    assert_eq!(
        records
            .iter()
            .filter(|record| matches!(record, Record::Body { .. }))
            .count(),
        1,
        "one delivery"
    );
    let subjects: BTreeSet<_> = events(records)
        .into_iter()
        .map(|event| event.subject)
        .collect();
    assert_eq!(subjects.len(), 3);
    let set = sent(&[
        "amocrm",
        "leads_add",
        "--batch",
        "2",
        "--set",
        "lead.id=42",
        &local,
    ]);
    assert!(
        set[0]["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["subject"] == "lead/42"),
        "{set:?}"
    );
}

fn events(records: Vec<Record>) -> Vec<Event> {
    let events = records.into_iter().filter_map(|record| match record {
        Record::Event { event, .. } => Some(event),
        Record::Body { .. } | Record::Quarantined { .. } => None,
    });
    events.collect()
}
