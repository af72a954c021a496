//! JSON Lines: an event is one line, whatever its payload contains.

use super::handles;
use crate::process::{Killed, lines_of};
use models::Record;
use proptest::{collection::vec, prelude::*};
use providers::PIPEDRIVE;
use serde_json::{Value, json};
use std::{process::Stdio, sync::LazyLock};
use testkit::{
    request::event,
    site::{Site, records},
};
use tokio::{runtime::Runtime, task::block_in_place};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A Pipedrive webhook that has a complete event of amoCRM on a line of its own, between two JSON tokens.
fn forging() -> String {
    let forged = r#"{"specversion":"1.0","id":"forged","source":"amocrm/1001","type":"com.amocrm.lead.deleted"}"#;
    event("pipedrive", 43).replace(
        "{\"id\":43}",
        &format!("{{\"id\":43,\"x\":[\r\n{forged}\r\n]}}"),
    )
}

/// The one line of an output, as JSON.
fn only_line(output: &str) -> Value {
    assert_eq!(output.lines().count(), 1, "{output}");
    serde_json::from_str(output).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_cannot_forge_a_line() {
    let site = Site::start().await;
    let mut process = site.command(&["events", "follow", "--output", "json"]);
    let mut process = Killed(process.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(&mut process);
    // The follower starts after the events that are stored at that moment, so it may print this
    // event or not.
    site.put(&records(&PIPEDRIVE, &forging()), None).await;
    let handle = handles(&site.run(&["events"])).remove(0);
    for arguments in [
        &["export"][..],
        &["events", "--output", "json"],
        &["events", "show", &handle, "--output", "json"],
        &["events", "history", "deal/43", "--output", "json"],
    ] {
        let event = only_line(&site.run(arguments));
        assert_eq!(
            (&event["source"], &event["data"]["data"]["x"][0]["id"]),
            (&json!("pipedrive/7"), &json!("forged"))
        );
    }
    loop {
        site.put(&records(&PIPEDRIVE, &forging().replace("43", "44")), None)
            .await;
        let followed = block_in_place(|| lines.recv_timeout(super::PATIENCE).unwrap());
        if only_line(&followed)["subject"] == "deal/44" {
            break;
        }
    }
}

/// JSON of any content, with any white space between its tokens.
fn payload() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        any::<String>(),
        "[\"\\\\\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}\u{2028}\u{202e}\u{feff}]{0,6}"
    ];
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text.clone().prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    // Pretty-printed JSON has line feeds between tokens only.
    (value, "[ \t\r\n]{1,4}").prop_map(|(value, space)| {
        serde_json::to_string_pretty(&value)
            .unwrap()
            .replace('\n', &space)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_event_is_one_line_of_equal_json(payloads in vec(payload(), 20..60)) {
        RUNTIME.block_on(one_line_an_event(&payloads))?;
    }
}

/// A listed event as the CloudEvent that it is.
fn without_origin(mut event: Value) -> Value {
    let members = event.as_object_mut().unwrap();
    for name in ["handle", "recordedtime", "arrival", "requestid"] {
        members.remove(name);
    }
    event
}

async fn one_line_an_event(payloads: &[String]) -> Result<(), TestCaseError> {
    let site = Site::start().await;
    let mut expected: Vec<Value> = Vec::new();
    for (number, payload) in (1..).zip(payloads) {
        let body = event("pipedrive", number).replace(
            &format!("\"entity_id\":\"{number}\""),
            "\"entity_id\":\"1\"",
        );
        let body = body.replace(&format!("{{\"id\":{number}}}"), payload);
        let records = records(&PIPEDRIVE, &body);
        let Record::Event { event, .. } = &records[0] else {
            panic!("{body}")
        };
        expected.push(serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap());
        site.put(&records, None).await;
    }
    let printed = |arguments: &[&str]| {
        let printed = site.run(arguments);
        // `str::lines` does not split at a single carriage return.
        let lines = printed.split_terminator(['\n', '\r']);
        lines
            .map(|line| serde_json::from_str(line).map(without_origin))
            .collect::<Result<Vec<Value>, _>>()
    };
    prop_assert_eq!(printed(&["export"]).unwrap(), expected.clone());
    let newest_first: Vec<Value> = expected.iter().rev().cloned().collect();
    prop_assert_eq!(
        printed(&["events", "--limit", "100", "--output", "json"]).unwrap(),
        newest_first
    );
    // All events have the same time, so the history is in the order of their ids.
    expected.sort_by_key(|event| event["id"].to_string());
    prop_assert_eq!(
        printed(&["events", "history", "deal/1", "--output", "json"]).unwrap(),
        expected
    );
    Ok(())
}
