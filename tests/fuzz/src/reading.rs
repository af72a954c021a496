//! Properties of a parser and of the records that are stored from its events.

use crate::{corpus, stretch};
use aws_sdk_dynamodb::types::AttributeValue;
use libfuzzer_sys::Corpus;
use models::{
    Body, Delivery, Event, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, MAX_TYPE_BYTES, Origin, Record,
    Timestamp,
};
use providers::Provider;
use serde::de::IgnoredAny;
use storage::{
    Key, Message,
    schema::{self, Item},
};

/// DynamoDB's limits, in bytes.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_ITEM_BYTES: usize = 409_600;
const MAX_PK_BYTES: usize = 2_048;
const MAX_SK_BYTES: usize = 1_024;

/// Parses a body and checks the properties of all results.
///
/// # Panics
/// If a property is violated.
#[must_use]
pub fn holds(provider: &Provider, input: &[u8]) -> Corpus {
    let delivery = { let mut delivery = Delivery::new(stretch(input), Timestamp::from_epoch(1_795_255_200).expect("a time in 2026"), "request"); delivery.origin.content_type = Some("text/plain".to_owned()); delivery };
    let read = (provider.parse)(&delivery);
    let again = (provider.parse)(&delivery);
    match (&read, &again) {
        (Ok(events), Ok(again)) => assert_eq!(
            json(events),
            json(again),
            "a reader is a function of the delivery"
        ),
        (read, again) => assert_eq!(
            read.as_ref().err(),
            again.as_ref().err(),
            "and so is its refusal"
        ),
    }
    for event in read.iter().flatten() {
        is_sane(provider, event);
    }
    let records = Record::from_delivery(provider.name, &delivery, read);
    assert_eq!(bytes(&records), delivery.body, "the exact bytes are kept");
    for record in records {
        is_had_back(record, &delivery);
    }
    corpus(&delivery.body)
}

fn json(events: &[Event]) -> Vec<u8> {
    serde_json::to_vec(events).expect("an event is JSON")
}

fn is_sane(provider: &Provider, event: &Event) {
    let id = event.id.as_str();
    assert_eq!(id.len(), 32, "an id is a hash");
    assert!(
        id.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "in lower case"
    );

    let rest = event
        .source
        .strip_prefix(provider.name)
        .expect("a source begins with its provider");
    assert!(
        rest.is_empty() || rest.len() > 1 && rest.starts_with('/'),
        "and may go on with an account"
    );
    assert!(
        event.source.len() <= MAX_SOURCE_BYTES,
        "a source fits its key"
    );

    assert!(
        event.subject.len() >= 3 && event.subject.contains('/'),
        "a subject is an object and its id"
    );
    assert!(
        event.subject.len() <= MAX_SUBJECT_BYTES,
        "a subject fits its key"
    );

    assert!(
        (1..=MAX_TYPE_BYTES).contains(&event.r#type.len()),
        "a type is bounded"
    );
    assert!(
        (2000..2100).contains(&event.time.to_string()[..4].parse().unwrap_or(0)),
        "a time is one of a CRM's"
    );
    assert_eq!(event.time.to_string().len(), 27, "and sorts as text");
    assert!(event.data.get().starts_with('{'), "data is an object");
    assert!(
        serde_json::from_str::<IgnoredAny>(event.data.get()).is_ok(),
        "data is JSON"
    );
}

/// The body that a delivery's records hold.
fn bytes(records: &[Record]) -> &[u8] {
    let [first, events @ ..] = records else {
        panic!("a delivery leaves a record")
    };
    let whole = match first {
        Record::Event {
            event,
            body: Body::Data,
            ..
        } => event.data.get().as_bytes(),
        Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Quarantined { bytes, .. }
        | Record::Body { bytes, .. } => bytes,
        Record::Event {
            body: Body::Shared(_),
            ..
        } => panic!("a shared body comes first"),
    };
    for record in events {
        let (
            Record::Body { delivery, .. },
            Record::Event {
                body: Body::Shared(shared),
                ..
            },
        ) = (first, record)
        else {
            panic!("several records are a body and its events");
        };
        assert_eq!(delivery, shared, "they name the same delivery");
    }
    whole
}

/// Checks that the items of a record fit DynamoDB and the fallback queue, and restore the record.
fn is_had_back(record: Record, delivery: &Delivery) {
    let stored = schema::encode(record);
    for item in &stored {
        fits(item.clone());
        assert_eq!(
            Message::from_item(item).item().as_ref(),
            Ok(item),
            "a message holds its item"
        );
    }
    let mut parts = stored.clone();
    let mut head = parts.pop().expect("a record has an item");
    let keys: Vec<_> = parts.iter().map(key).collect();
    assert_eq!(keys, schema::chunk_keys(&head), "an item names its parts");
    assert!(
        keys.iter()
            .all(|part| schema::is_owned_by(part, &key(&head))),
        "and each part names its item"
    );
    schema::decompress(&mut head, parts).expect("an item is had back from its parts");
    let record = schema::decode(head).expect("a record is had back from its item");
    let (Record::Event { origin, .. }
    | Record::Body { origin, .. }
    | Record::Quarantined { origin, .. }) = &record;
    let Origin {
        arrival,
        request_id,
        content_type,
    } = origin;
    assert_eq!(
        (arrival, request_id, content_type),
        (
            &delivery.arrival,
            &delivery.request_id,
            &delivery.content_type
        ),
        "a replay has all that the delivery had"
    );
    assert_eq!(schema::encode(record), stored, "and it is the same one");
}

fn key(item: &Item) -> Key {
    let text = |name| item[name].as_s().expect("a text").clone();
    Key {
        pk: text("pk"),
        sk: text("sk"),
    }
}

/// # Panics
/// When DynamoDB would refuse an item.
pub(crate) fn fits(mut item: Item) {
    schema::stamp(
        &mut item,
        Timestamp::from_epoch(1_795_255_200).expect("a time in 2026"),
        None,
    );
    assert!(schema::size(&item) <= MAX_ITEM_BYTES, "an item fits");
    for (key, limit) in [("pk", MAX_PK_BYTES), ("sk", MAX_SK_BYTES)] {
        assert!(
            matches!(&item[key], AttributeValue::S(text) if (1..=limit).contains(&text.len())),
            "{key} fits"
        );
    }
}
