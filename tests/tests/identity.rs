//! The rule of `models::identity`: two different contents never have one id, and a retry or the copy of a second webhook
//! has the id of the first.

use closer::CLOSER;
use intake::Provider;
use models::{Delivery, Event, Timestamp, Unreadable};
use pipedrive::PIPEDRIVE;

const FIRST_REQUEST: &str = "first request";
const SECOND_REQUEST: &str = "second request";

fn events(provider: &Provider, body: &[u8], request_id: &str) -> Result<Vec<Event>, Unreadable> {
    let delivery = Delivery {
        body: body.to_vec(),
        content_type: None,
        arrival: Timestamp::from_epoch(1_795_293_780).unwrap(),
        request_id: request_id.to_owned(),
    };
    (provider.read)(&delivery)
}

fn ids_in(provider: &Provider, body: &[u8], request_id: &str) -> Vec<String> {
    let events = events(provider, body, request_id);
    let events = events.unwrap_or_else(|reason| panic!("{}: {reason}", String::from_utf8_lossy(body)));
    events.into_iter().map(|event| event.id.to_string()).collect()
}

/// The ids of a body's events, which are the same in another request.
fn ids(provider: &Provider, body: &[u8]) -> Vec<String> {
    let ids = ids_in(provider, body, FIRST_REQUEST);
    let retried = ids_in(provider, body, SECOND_REQUEST);
    assert_eq!(ids, retried, "a retry of {}", String::from_utf8_lossy(body));
    ids
}

#[track_caller]
fn assert_different(provider: &Provider, one: &[u8], other: &[u8]) {
    let (one_text, other_text) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    assert_ne!(ids(provider, one), ids(provider, other), "{one_text} and {other_text} differ");
}

#[track_caller]
fn assert_same(provider: &Provider, one: &[u8], other: &[u8]) {
    let (one_text, other_text) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    assert_eq!(ids(provider, one), ids(provider, other), "{one_text} and {other_text} are one event");
}

#[test]
fn a_lone_surrogate_is_not_a_text_that_spells_it() {
    let closer = |name: &str| {
        let customer = format!(r#"{{"id":"c","name":{name}}}"#);
        format!(r#"{{"eventType":"ThreadCreatedEvent","timestamp":1795293781000,"customer":{customer}}}"#).into_bytes()
    };
    let pipedrive = |title: &str| {
        let meta = r#"{"action":"updated","object":"deal","id":42,"company_id":7,"timestamp":1795255200}"#;
        format!(r#"{{"meta":{meta},"event":"updated.deal","current":{{"id":42,"title":{title}}}}}"#).into_bytes()
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
    assert_same(&CLOSER, &closer(r#""a\ud83d""#), &closer(r#""\u0061\uD83D""#));
}
