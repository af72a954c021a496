//! Properties of a parser and of the records that are stored for its events.

use crate::exact::exact_bytes;
use aws_sdk_dynamodb::types::AttributeValue;
use models::{
    Delivery, Event, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, MAX_TYPE_BYTES, Parsed, Record, Timestamp,
};
use providers::Provider;
use serde::de::IgnoredAny;
use storage::{
    Expiry, Key, Message, Policy,
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
pub fn check(provider: &Provider, body: &[u8]) {
    let mut delivery = Delivery::new(body.to_vec(), arrival(), "request");
    delivery.origin.content_type = Some("text/plain".to_owned());
    let parsed = (provider.parse)(&delivery);
    let again = (provider.parse)(&delivery);
    assert_eq!(json(&parsed), json(&again), "a parser is not deterministic");
    for event in parsed.iter().flatten().flatten() {
        check_event(provider, event);
    }
    let records = Record::from_delivery(provider.name, &delivery, parsed);
    assert!(!records.is_empty(), "a delivery has no record");
    for record in &records {
        assert_eq!(
            exact_bytes(record, &records),
            body,
            "the exact bytes are lost"
        );
        check_items(record, &delivery);
    }
}

fn arrival() -> Timestamp {
    Timestamp::from_epoch(1_795_255_200).expect("a time in 2026")
}

/// The result of a parser in a form that can be compared.
fn json(parsed: &Parsed) -> Vec<String> {
    let Ok(items) = parsed else {
        return vec![format!("{parsed:?}")];
    };
    let items = items.iter().map(|item| match item {
        Ok(event) => serde_json::to_string(event).expect("an event is JSON"),
        Err(reason) => format!("{reason:?}"),
    });
    items.collect()
}

fn check_event(provider: &Provider, event: &Event) {
    let id = event.id.as_str();
    assert_eq!(id.len(), 32, "an id is not a hash");
    let is_hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(
        id.bytes().all(is_hexadecimal),
        "an id is not a hash in lower case"
    );

    let account = event.source.strip_prefix(provider.name);
    let account = account.expect("a source starts with its provider");
    let is_account = account.is_empty() || account.len() > 1 && account.starts_with('/');
    assert!(is_account, "a source is not a provider and an account");
    assert!(
        event.source.len() <= MAX_SOURCE_BYTES,
        "a source is too long"
    );

    let is_subject = event.subject.len() >= 3 && event.subject.contains('/');
    assert!(is_subject, "a subject is not an object and its id");
    assert!(
        event.subject.len() <= MAX_SUBJECT_BYTES,
        "a subject is too long"
    );
    assert!(
        (1..=MAX_TYPE_BYTES).contains(&event.r#type.len()),
        "a type is empty or too long"
    );

    let time = event.time.to_string();
    let year = time[..4].parse().unwrap_or(0);
    assert!((2000..2100).contains(&year), "a time is not of a CRM");
    assert_eq!(time.len(), 27, "a time does not sort as text");

    let data = event.data.get();
    assert!(data.starts_with('{'), "data is not an object");
    assert!(
        serde_json::from_str::<IgnoredAny>(data).is_ok(),
        "data is not JSON"
    );
}

/// Checks that the items of a record fit DynamoDB and the fallback queue, and that the record can
/// be restored from them.
fn check_items(record: &Record, delivery: &Delivery) {
    let items = encode(record);
    for item in &items {
        assert_fits(item.clone());
        let message = Message::from_item(item)
            .decode()
            .expect("a message is an item");
        assert_eq!(&message.item, item, "a message changes its item");
    }
    let mut chunks = items.clone();
    let head = chunks.pop().expect("a record has an item");
    let keys: Vec<_> = chunks.iter().map(key).collect();
    assert_eq!(
        keys,
        schema::chunk_keys(&head),
        "an item does not name its chunks"
    );
    let is_owned = |chunk| schema::is_owned_by(chunk, &key(&head));
    assert!(keys.iter().all(is_owned), "a chunk does not name its owner");
    let restored = schema::decode(head, chunks).expect("a record is restored from its items");
    let origin = restored.origin();
    assert_eq!(origin.arrival, delivery.origin.arrival);
    assert_eq!(origin.request_id, delivery.origin.request_id);
    assert_eq!(origin.content_type, delivery.origin.content_type);
    assert_eq!(encode(&restored), items, "a restored record is another one");
}

fn encode(record: &Record) -> Vec<Item> {
    let compress_above = Policy::default().compress_above;
    schema::encode(record.clone(), Expiry::same(None), compress_above)
}

fn key(item: &Item) -> Key {
    let text = |name| item[name].as_s().expect("a text").clone();
    Key {
        pk: text("pk"),
        sk: text("sk"),
    }
}

/// # Panics
/// If DynamoDB would reject the item.
pub(crate) fn assert_fits(mut item: Item) {
    schema::stamp(&mut item, arrival());
    let sizes = item.iter().map(|(name, value)| name.len() + size(value));
    assert!(
        sizes.sum::<usize>() <= MAX_ITEM_BYTES,
        "an item is too large"
    );
    for (name, limit) in [("pk", MAX_PK_BYTES), ("sk", MAX_SK_BYTES)] {
        let length = item[name].as_s().expect("a text").len();
        assert!((1..=limit).contains(&length), "{name} is empty or too long");
    }
}

fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        // At most one byte for two digits, and two more.
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        other => panic!("an item has {other:?}"),
    }
}
