//! What the providers' APIs show as changes, which of them no stored event reports, and that no row
//! of a list is lost while it changes.
//!
//! `PROVIDER_API_SAMPLES` names a folder of sample responses, as for the module `api`.

mod amocrm;
mod amocrm_account;
mod amocrm_walk;
mod pipedrive;
mod pipedrive_company;
mod pipedrive_walk;

use super::api::{self, access};
use axum::body::Bytes;
use lambda_http::http::Request;
use models::{Delivery, Event, EventDraft, Identity, OwnTime, Timestamp};
use proptest::{collection::vec, prelude::*};
use providers::{
    Provider,
    api::{
        ApiError, Call,
        change::{Change, Changed, Extent, WalkError, Window},
    },
};
use serde_json::{Value, value::to_raw_value};
use std::{collections::BTreeMap, time::Duration};
use testkit::api::{Api, Notice};

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// A time of the day of all tests.
fn at(clock: &str) -> Timestamp {
    time(&format!("2026-11-21T{clock}Z"))
}

/// The hour from 10:00 of the day of all tests.
fn window() -> Window {
    Window {
        since: at("10:00:00"),
        until: at("11:00:00"),
    }
}

fn delivery() -> Delivery {
    Delivery::new(Vec::new(), at("12:00:00"), "request")
}

/// A stored event of a webhook.
fn event(r#type: &str, time: OwnTime, data: &Value) -> Event {
    let draft = EventDraft {
        source: "source".to_owned(),
        r#type: r#type.to_owned(),
        subject: "subject".to_owned(),
        time,
        identity: Identity::Body {
            content: r#type.as_bytes().to_vec(),
        },
        index: 0,
        dataschema: None,
        originaltype: String::new(),
        apiversion: None,
        channel: None,
        eventid: None,
        data: to_raw_value(data).unwrap(),
    };
    Event::new(&delivery(), draft).unwrap()
}

/// The event that healing stores for a change.
fn healed(change: Change) -> Event {
    Event::new(&delivery(), change.draft("source".to_owned())).unwrap()
}

/// The time since 1970 of the start of [`window`].
const START: Duration = Duration::from_secs(SINCE.cast_unsigned());

/// Sends a request to a simulated API.
fn send<T>(api: &mut impl Api, call: Call<T>, now: Duration) -> Result<T, ApiError> {
    let response = api.respond(&call.request.map(Bytes::from), now);
    (call.parse)(&response)
}

/// What changed in [`window`], by subject, as the guardian reads it from a time on. Returns the
/// tokens that it costs, too.
fn read(
    provider: &Provider,
    simulated: &mut impl Api,
    mut now: Duration,
) -> (BTreeMap<String, Changed>, u64) {
    let api = provider.api.unwrap();
    let mut reader = (api.read)(window(), Extent::All);
    let mut tokens = 0;
    while let Some(call) = reader.next(&access()) {
        now += api.limits.pause;
        tokens += u64::from(call.tokens);
        reader.receive(send(simulated, call, now)).unwrap();
    }
    let changed = reader.finish().into_iter();
    let changed = changed.map(|changed| (changed.subject.clone(), changed));
    (changed.collect(), tokens)
}

/// The changes of a subject that none of its stored events reports, of which those are compared
/// whose time counts.
fn missing(changed: &Changed, stored: &[Event]) -> Vec<Change> {
    let compared = stored.iter().filter(|event| {
        let is_early = changed.until.is_none_or(|until| event.time <= until);
        event.time >= changed.since && is_early
    });
    let compared: Vec<Event> = compared.cloned().collect();
    changed.missing(&compared)
}

/// The events of a delivery that arrives at a time.
fn delivered(provider: &Provider, notice: &Notice, now: Duration) -> Vec<Event> {
    let body = notice.body.clone().into_bytes();
    let arrival = Timestamp::from_unix(now);
    let mut delivery = Delivery::new(body, arrival, "request");
    delivery.origin.content_type = Some(notice.content_type.to_owned());
    let items = (provider.parse)(&delivery).unwrap();
    items.into_iter().map(Result::unwrap).collect()
}

/// Changes in words: `updated 10:00:00.000000`.
fn words<'a>(changes: impl IntoIterator<Item = &'a Change>) -> String {
    let words = changes.into_iter().map(|change| {
        let word = change.r#type.rsplit('.').next().unwrap();
        let text = change.time.to_string();
        format!("{word} {}", &text[11..text.len() - 1])
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The first second of [`window`].
const SINCE: i64 = 1_795_255_200;

/// A time in seconds since 1970.
fn second(second: i64) -> Timestamp {
    Timestamp::from_epoch(second).unwrap()
}

/// Responses that are not lists, and the errors that they are.
const FAILURES: [(u16, &str, &str); 11] = [
    (400, "{}", "invalid"),
    (401, "{}", "unauthorized"),
    (402, "{}", "unpaid"),
    (403, "{}", "forbidden"),
    (403, "<html>", "rate_limited"),
    (404, r#"{"success":false,"error":"x"}"#, "not_found"),
    (429, "", "rate_limited"),
    (500, "", "unavailable"),
    (200, "<html>", "malformed"),
    (200, "{}", "malformed"),
    (200, "null", "malformed"),
];

fn word(received: Result<(), WalkError>) -> &'static str {
    match received {
        Ok(()) => "read",
        Err(WalkError::Api(error)) => api::word(&error),
        Err(WalkError::TooManyPages { .. }) => "too many pages",
    }
}

fn query(request: &Request<Vec<u8>>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// What happens to a list between two requests.
#[derive(Debug, Clone, Copy)]
enum Act {
    Edit,
    Archive,
    Remove,
    Add,
}

#[derive(Debug, Clone)]
struct Step {
    list: usize,
    act: Act,
    pick: u32,
}

/// The steps between two requests each.
fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let act = prop_oneof![
        Just(Act::Edit),
        Just(Act::Archive),
        Just(Act::Remove),
        Just(Act::Add)
    ];
    let step = (0..4_usize, act, any::<u32>());
    let step = step.prop_map(|(list, act, pick)| Step { list, act, pick });
    vec(vec(step, 0..16), 0..20)
}
