//! The rule of `models::identity`: different contents never share an id, and a retry or the copy
//! from a second webhook has the id of the first delivery.

use models::{Delivery, Event, EventDraft, Identity, MAX_EVENTS, OwnTime, ParseError, Timestamp};
use providers::AMOCRM;
use providers::CLOSER;
use providers::PIPEDRIVE;
use providers::Provider;
use serde_json::{Value, json, value::to_raw_value};
use std::collections::BTreeSet;

const FIRST_REQUEST: &str = "first request";
const SECOND_REQUEST: &str = "second request";

fn events(provider: &Provider, body: &[u8], request_id: &str) -> Result<Vec<Event>, ParseError> {
    let delivery = Delivery::new(
        body.to_vec(),
        Timestamp::from_epoch(1_795_293_780).unwrap(),
        request_id,
    );
    let items = (provider.parse)(&delivery)?;
    items.into_iter().collect()
}

fn ids_in(provider: &Provider, body: &[u8], request_id: &str) -> Vec<String> {
    let events = events(provider, body, request_id);
    let events =
        events.unwrap_or_else(|reason| panic!("{}: {reason}", String::from_utf8_lossy(body)));
    events
        .into_iter()
        .map(|event| event.id.to_string())
        .collect()
}

/// The ids of the events of a body. They are the same in another request.
fn ids(provider: &Provider, body: &[u8]) -> Vec<String> {
    let ids = ids_in(provider, body, FIRST_REQUEST);
    let retried = ids_in(provider, body, SECOND_REQUEST);
    assert_eq!(ids, retried, "a retry of {}", String::from_utf8_lossy(body));
    ids
}

#[track_caller]
fn assert_different(provider: &Provider, one: &[u8], other: &[u8]) {
    let texts = [one, other].map(String::from_utf8_lossy);
    assert_ne!(
        ids(provider, one),
        ids(provider, other),
        "{texts:?} are different events"
    );
}

#[track_caller]
fn assert_same(provider: &Provider, one: &[u8], other: &[u8]) {
    let texts = [one, other].map(String::from_utf8_lossy);
    assert_eq!(
        ids(provider, one),
        ids(provider, other),
        "{texts:?} are one event"
    );
}

/// A change of a deal in Pipedrive's webhooks v2.
fn pipedrive_v2() -> Value {
    json!({
        "data": { "id": 42, "title": "A deal" },
        "previous": { "title": "Deal" },
        "meta": {
            "action": "change", "entity": "deal", "entity_id": "42", "company_id": "7", "user_id": "9",
            "id": "ca53e9b7-70e3-466b-aff1-0cdc3fe0ca19", "correlation_id": "5e4e4a4b-19ab-4352-b3f8-1a1f2a8b7b9c",
            "timestamp": "2026-11-21T10:43:00.417Z", "version": "2.0", "type": "general", "attempt": 1,
            "webhook_id": "1", "webhook_owner_id": "9", "host": "example.pipedrive.com",
            "permitted_user_ids": ["9"],
        },
    })
}

/// The same body with another value at a JSON pointer.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[test]
fn a_pipedrive_event_id_with_other_content_is_another_event() {
    let original = pipedrive_v2();
    let changes = [
        ("/data/title", json!("Another title")),
        ("/data/id", json!("42")),
        ("/data", Value::Null),
        ("/previous/title", json!("Another title")),
        ("/previous", Value::Null),
        ("/more", json!("an unknown member")),
        ("/meta/action", json!("updated")),
        ("/meta/entity", json!("person")),
        ("/meta/entity_id", json!("43")),
        ("/meta/merged_from_id", json!("41")),
        ("/meta/merged_to_id", json!("41")),
        ("/meta/id", json!("ca53e9b7-70e3-466b-aff1-0cdc3fe0ca18")),
    ];
    for (pointer, value) in changes {
        assert_different(
            &PIPEDRIVE,
            &bytes(&original),
            &bytes(&with(&original, pointer, value)),
        );
    }
}

#[test]
fn pipedrive_entities_and_ids_that_join_to_the_same_text_differ() {
    let [one, other] = [("deal", "1/2"), ("deal/1", "2")].map(|(entity, id)| {
        let body = with(&pipedrive_v2(), "/meta/entity", entity.into());
        bytes(&with(&body, "/meta/entity_id", id.into()))
    });
    assert_different(&PIPEDRIVE, &one, &other);
}

#[test]
fn a_retry_or_the_copy_of_a_second_webhook_is_the_same_pipedrive_event() {
    let original = pipedrive_v2();
    let changes = [
        ("/meta/attempt", json!(2)),
        ("/meta/webhook_id", json!("2")),
        ("/meta/webhook_owner_id", json!("10")),
        (
            "/meta/correlation_id",
            json!("7b0f29ad-7f3c-4b8c-92ab-8d3b6bdf3b39"),
        ),
        ("/meta/permitted_user_ids", json!(["9", "10"])),
        ("/meta/host", json!("another.pipedrive.com")),
        ("/meta/user_id", json!("10")),
        ("/meta/type", json!("application")),
        ("/meta/id", json!("CA53E9B7-70E3-466B-AFF1-0CDC3FE0CA19")),
    ];
    for (pointer, value) in changes {
        assert_same(
            &PIPEDRIVE,
            &bytes(&original),
            &bytes(&with(&original, pointer, value)),
        );
    }
}

#[test]
fn without_an_event_id_all_of_meta_counts_except_attempt_and_webhook_fields() {
    let original = with(&pipedrive_v2(), "/meta/id", "42".into());
    let attempts = [
        ("/meta/attempt", json!(2)),
        ("/meta/webhook_id", json!("2")),
        ("/meta/webhook_owner_id", json!("10")),
        (
            "/meta/correlation_id",
            json!("7b0f29ad-7f3c-4b8c-92ab-8d3b6bdf3b39"),
        ),
        ("/meta/type", json!("application")),
    ];
    for (pointer, value) in attempts {
        assert_same(
            &PIPEDRIVE,
            &bytes(&original),
            &bytes(&with(&original, pointer, value)),
        );
    }
    let contents = [
        ("/meta/user_id", json!("10")),
        ("/meta/attempts", json!(2)),
        ("/data/attempt", json!(2)),
    ];
    for (pointer, value) in contents {
        assert_different(
            &PIPEDRIVE,
            &bytes(&original),
            &bytes(&with(&original, pointer, value)),
        );
    }
}

#[test]
fn a_pipedrive_event_without_a_time_has_an_id_for_each_request() {
    let mut original = pipedrive_v2();
    original["meta"]
        .as_object_mut()
        .unwrap()
        .remove("timestamp");
    let first = ids_in(&PIPEDRIVE, &bytes(&original), FIRST_REQUEST);
    assert_eq!(
        first,
        ids_in(&PIPEDRIVE, &bytes(&original), FIRST_REQUEST),
        "the same request"
    );
    assert_ne!(
        first,
        ids_in(&PIPEDRIVE, &bytes(&original), SECOND_REQUEST),
        "another request"
    );
}

#[test]
fn a_lone_surrogate_differs_from_a_text_that_spells_it() {
    let closer = |name: &str| {
        let customer = format!(r#"{{"id":"c","name":{name}}}"#);
        format!(r#"{{"eventType":"ThreadCreatedEvent","timestamp":1795293781000,"customer":{customer}}}"#).into_bytes()
    };
    let pipedrive = |title: &str| {
        let meta =
            r#"{"action":"updated","object":"deal","id":42,"company_id":7,"timestamp":1795255200}"#;
        format!(r#"{{"meta":{meta},"event":"updated.deal","current":{{"id":42,"title":{title}}}}}"#)
            .into_bytes()
    };
    for (lone, spelled) in [
        (r#""\ud83d""#, r#""\"\\ud83d\"""#),
        (r#""\ud83d""#, r#""\ud83e""#),
        (r#""\ud83d""#, r#""\ufffd""#),
        (r#""a\udc00""#, r#""\"a\\udc00\"""#),
        (r#"{"\ud83d":1}"#, r#"{"\"\\ud83d\"":1}"#),
    ] {
        assert_different(&CLOSER, &closer(lone), &closer(spelled));
        assert_different(&PIPEDRIVE, &pipedrive(lone), &pipedrive(spelled));
    }
    assert_same(
        &CLOSER,
        &closer(r#""a\ud83d""#),
        &closer(r#""\u0061\uD83D""#),
    );
}

/// A form with one updated lead, followed by more fields.
fn lead(more: &str) -> Vec<u8> {
    format!(
        "account[id]=1001&leads[update][0][id]=1&leads[update][0][updated_at]=1795255200&{more}"
    )
    .into_bytes()
}

#[test]
fn forms_that_differ_only_before_decoding_are_different_amocrm_events() {
    let pairs = [
        // Bytes that are not UTF-8.
        ("leads[update][0][name]=%D0", "leads[update][0][name]=%D1"),
        (
            "leads[update][0][name]=%D0",
            "leads[update][0][name]=%EF%BF%BD",
        ),
        ("leads[update][0][%D0]=1", "leads[update][0][%D1]=1"),
        // A repeated field.
        (
            "leads[update][0][name]=a&leads[update][0][name]=b",
            "leads[update][0][name]=b",
        ),
        (
            "leads[update][0][name]=b&leads[update][0][name]=b",
            "leads[update][0][name]=b",
        ),
        (
            "leads[update][0][name]=a&leads[update][0][name][0]=b",
            "leads[update][0][name][0]=b",
        ),
        (
            "leads[update][0][name][0]=a&leads[update][0][name]=b",
            "leads[update][0][name]=b",
        ),
        // Text after a closing bracket, and an unclosed bracket.
        ("leads[update][0][name]x=b", "leads[update][0][name]y=b"),
        ("leads[update][0][name]x=b", "leads[update][0][name]=b"),
        ("leads[update][0][name=b", "leads[update][0][[name]=b"),
        // An empty name.
        ("leads[update][0][tags][]=b", "leads[update][0][tags][0]=b"),
        // Fields outside the items.
        ("x=1", "x=2"),
        ("leads[x]=1", "leads[x]=2"),
        ("account[subdomain]=a", "account[subdomain]=b"),
        ("account[subdomain]=a", ""),
    ];
    for (one, other) in pairs {
        assert_different(&AMOCRM, &lead(one), &lead(other));
    }
}

#[test]
fn the_encoding_and_order_of_a_form_do_not_change_the_id() {
    assert_same(
        &AMOCRM,
        &lead("leads[update][0][name]=a+b"),
        &lead("leads%5Bupdate%5D%5B0%5D%5Bname%5D=%61%20b"),
    );
    let one = b"account[id]=1001&leads[update][0][id]=1&leads[update][0][updated_at]=1795255200";
    let other = b"leads[update][3][updated_at]=1795255200&leads[update][3][id]=1&account[id]=1001";
    assert_same(&AMOCRM, one, other);
}

#[test]
fn json_bodies_that_map_to_the_same_form_are_different_amocrm_events() {
    let lead = |more: &str| {
        let item = format!(r#"{{"id":"1","updated_at":"1795255200",{more}}}"#);
        format!(r#"{{"account":{{"id":"1001"}},"leads":{{"update":[{item}]}}}}"#).into_bytes()
    };
    let pairs = [
        (r#""a":null"#, r#""a":"""#),
        (r#""a":true"#, r#""a":"true""#),
        (r#""a":1"#, r#""a":"1""#),
        (r#""a":[]"#, r#""a":{}"#),
        (r#""a":["1"]"#, r#""a":{"0":"1"}"#),
        (r#""a":"1","a":"2""#, r#""a":"2""#),
    ];
    for (one, other) in pairs {
        assert_different(&AMOCRM, &lead(one), &lead(other));
    }
}

#[test]
fn amocrm_names_with_the_same_translation_are_different_events() {
    let item = |entity: &str, action: &str| {
        format!("account[id]=1001&{entity}[{action}][0][id]=1&{entity}[{action}][0][updated_at]=1795255200")
            .into_bytes()
    };
    assert_different(&AMOCRM, &item("leads", "add"), &item("lead", "created"));
    assert_different(&AMOCRM, &item("leads", "add"), &item("leads", "created"));
    assert_different(&AMOCRM, &item("leads", "update"), &item("leads", "status"));
}

#[test]
fn an_amocrm_event_without_a_time_has_an_id_for_each_request_and_position() {
    let body =
        b"leads[status][0][id]=1&leads[status][0][status_id]=2&leads[status][1][id]=1&leads[status][1][status_id]=2";
    let first = ids_in(&AMOCRM, body, FIRST_REQUEST);
    assert_ne!(first[0], first[1]);
    assert_eq!(first, ids_in(&AMOCRM, body, FIRST_REQUEST));
    let second = ids_in(&AMOCRM, body, SECOND_REQUEST);
    assert!(first.iter().all(|id| !second.contains(id)));
}

#[test]
fn amocrm_events_are_not_read_beyond_the_limit() {
    let lead = |number: usize| format!("leads[add][{number}][id]={number}&");
    let most: String = (0..MAX_EVENTS).map(lead).collect();
    assert_eq!(
        events(&AMOCRM, most.as_bytes(), FIRST_REQUEST)
            .unwrap()
            .len(),
        MAX_EVENTS
    );
    // The next item has no id: parsing it would give another reason.
    let one_more = format!("{most}leads[add][{MAX_EVENTS}][name]=x");
    let reason = events(&AMOCRM, one_more.as_bytes(), FIRST_REQUEST).unwrap_err();
    assert_eq!(reason, ParseError::TooManyEvents { limit: MAX_EVENTS });
}

/// The id of an event with this identity and a time of its own.
fn id_of(identity: Identity) -> String {
    let time = Timestamp::from_epoch(1_795_293_780).unwrap();
    let draft = EventDraft {
        source: "source".to_owned(),
        r#type: "type".to_owned(),
        subject: "subject".to_owned(),
        time: OwnTime::Given(time),
        identity,
        index: 0,
        dataschema: None,
        originaltype: String::new(),
        apiversion: None,
        channel: None,
        eventid: None,
        data: to_raw_value(&json!({})).unwrap(),
    };
    let delivery = Delivery::new(Vec::new(), time, FIRST_REQUEST);
    Event::new(&delivery, draft).unwrap().id.to_string()
}

fn state(source: &str, subject: &str, r#type: &str, time: &str) -> String {
    id_of(Identity::HealedState {
        source: source.to_owned(),
        subject: subject.to_owned(),
        r#type: r#type.to_owned(),
        time: Timestamp::parse(time).unwrap(),
    })
}

fn entry(source: &str, entry_id: &str) -> String {
    id_of(Identity::HealedEntry {
        source: source.to_owned(),
        entry_id: entry_id.to_owned(),
    })
}

#[test]
fn an_event_that_was_read_back_has_an_id_of_its_own() {
    let time = "2026-11-21T10:00:00Z";
    let ids = [
        state("pipedrive/1", "deal/1", "updated", time),
        entry("amocrm/1", "a"),
        state("pipedrive/2", "deal/1", "updated", time),
        state("pipedrive/1", "deal/2", "updated", time),
        state("pipedrive/1", "deal/1", "created", time),
        state("pipedrive/1", "deal/1", "updated", "2026-11-21T10:00:01Z"),
        entry("amocrm/2", "a"),
        entry("amocrm/1", "b"),
    ];
    let different: BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
    // The rule has not changed.
    assert_eq!(ids[0], "70ef51f9f065593995fab1cd3862d3cd");
    assert_eq!(ids[1], "585361bb4daa74a122cc7f8ba5c12d22");
}
