use super::*;
use crate::schema::content::MAX_CONTENT_BYTES;
use models::{Delivery, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, ParseError, Parsed};
use serde_json::{Value, json};

const NEVER: Expiry = Expiry {
    event: None,
    quarantine: None,
};
const COMPRESS_ABOVE: usize = 4096;

fn delivery(body: &[u8]) -> Delivery {
    let arrival = Timestamp::from_epoch(1_795_255_200).unwrap();
    let mut delivery = Delivery::new(body.to_vec(), arrival, "r-1");
    delivery.origin.gateway_id = Some("g-1".to_owned());
    delivery.origin.content_type = Some("application/json".to_owned());
    delivery.origin.credential = Some("new".to_owned());
    delivery
}

fn event(id: &str, data: &str) -> Event {
    let event = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"closer","type":"t","subject":"s/1",
        "datacontenttype":"application/json","time":"2026-11-21T10:00:00.000000Z",
        "originaltype":"T","apiversion":"2.0","channel":"account","eventid":"E-1",
        "timeproblem":"out_of_range","data":{data}}}"#
    );
    serde_json::from_str(&event).unwrap()
}

fn records(body: &[u8], parsed: Parsed) -> Vec<Record> {
    Record::from_delivery("closer", &delivery(body), parsed)
}

fn items(body: &[u8], parsed: Parsed) -> Vec<Item> {
    let records = records(body, parsed).into_iter();
    records
        .flat_map(|record| encode(record, NEVER, COMPRESS_ABOVE))
        .collect()
}

/// Bytes that zlib cannot compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn quarantined(body: &[u8]) -> Vec<Item> {
    items(body, Err(ParseError::NoEvent))
}

/// Decodes the record of items: chunks, and after them the item itself.
fn decoded(mut items: Vec<Item>) -> Record {
    let item = items.pop().unwrap();
    decode(item, items).unwrap()
}

fn bytes(record: Record) -> Vec<u8> {
    match record {
        Record::Quarantined {
            body: Body::Here(bytes),
            ..
        }
        | Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Body { bytes, .. } => bytes,
        Record::Event { event, .. } => event.data.get().as_bytes().to_vec(),
        other @ Record::Quarantined { .. } => panic!("{other:?}"),
    }
}

/// Items of every kind, as version 1 writes them.
const GOLDEN: &str = include_str!("golden/v1.json");

fn golden() -> Vec<Item> {
    let items: Vec<serde_dynamo::Item> = serde_json::from_str(GOLDEN).unwrap();
    items.into_iter().map(Item::from).collect()
}

/// One record of each kind, and a body of each form.
fn one_of_each() -> Vec<Record> {
    let text = format!(r#"{{"text":"{}"}}"#, "a".repeat(5_000));
    let mut all = Vec::new();
    all.extend(records(b"{}", Ok(vec![Ok(event("a", "{}"))])));
    all.extend(records(b" {}", Ok(vec![Ok(event("b", "{}"))])));
    all.extend(records(text.as_bytes(), Ok(vec![Ok(event("c", &text))])));
    let parsed = vec![Ok(event("d", "{}")), Err(ParseError::NoEvent)];
    all.extend(records(b"[{},1]", Ok(parsed)));
    all.extend(records(
        b"{",
        Err(ParseError::NotJson { line: 1, column: 2 }),
    ));
    all
}

#[test]
fn version_1_writes_the_golden_items() {
    let expiry = Expiry {
        event: Some(1_795_346_400),
        quarantine: None,
    };
    let recorded = Timestamp::from_epoch(1_795_260_000).unwrap();
    let mut written = Vec::new();
    for record in one_of_each() {
        for mut item in encode(record, expiry, COMPRESS_ABOVE) {
            stamp(&mut item, recorded);
            written.push(item);
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let items = written.iter().cloned().map(serde_dynamo::Item::from);
        let items = serde_json::to_value(items.collect::<Vec<_>>()).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/golden/v1.json");
        let text = serde_json::to_string_pretty(&items).unwrap();
        std::fs::write(path, text + "\n").unwrap();
        return;
    }
    assert_eq!(written, golden());
}

#[test]
fn this_version_reads_the_golden_items_of_version_1() {
    let read: Vec<Record> = golden()
        .into_iter()
        .map(|item| decode(item, Vec::new()).unwrap())
        .collect();
    let as_text = |records: &[Record]| format!("{records:#?}");
    assert_eq!(as_text(&read), as_text(&one_of_each()));
}

#[test]
fn an_item_of_another_version_or_kind_is_not_read() {
    for (name, value) in [
        ("v", AttributeValue::N("2".to_owned())),
        ("v", AttributeValue::S("1".to_owned())),
        ("kind", AttributeValue::S("other".to_owned())),
    ] {
        let mut item = golden().remove(0);
        item.insert(name.to_owned(), value);
        assert!(!is_known(&item), "{name}");
        assert_eq!(
            decode(item, Vec::new()).unwrap_err(),
            ItemError::OtherVersion
        );
    }
    for name in ["v", "kind"] {
        let mut item = golden().remove(0);
        item.remove(name);
        assert_eq!(
            decode(item, Vec::new()).unwrap_err(),
            ItemError::OtherVersion
        );
    }
}

#[test]
fn unknown_attributes_are_ignored_and_optional_ones_have_defaults() {
    let mut item = golden().remove(0);
    item.insert("later".to_owned(), AttributeValue::Bool(true));
    for name in [
        "originaltype",
        "requestid",
        "gatewayid",
        "eventid",
        "credential",
    ] {
        item.remove(name);
    }
    let Record::Event { event, origin, .. } = decode(item, Vec::new()).unwrap() else {
        panic!()
    };
    assert_eq!(event.originaltype, "");
    assert_eq!((origin.request_id.as_str(), origin.credential), ("", None));
    let mut item = golden().remove(0);
    item.remove("subject");
    assert_eq!(decode(item, Vec::new()).unwrap_err(), ItemError::Malformed);
}

#[test]
fn events_and_quarantined_deliveries_have_their_own_expiry() {
    let expiry = Expiry {
        event: Some(1),
        quarantine: Some(2),
    };
    let several = || Ok(vec![Ok(event("a", "{}")), Err(ParseError::NoEvent)]);
    let expires = |expiry: Expiry| -> Vec<Option<i64>> {
        let records = records(b"[{},1]", several()).into_iter();
        let items = records.flat_map(|record| encode(record, expiry, COMPRESS_ABOVE));
        items.map(|item| super::expiry(&item)).collect()
    };
    assert_eq!(
        expires(expiry),
        [Some(2), Some(1), Some(2)],
        "body, event, quarantine"
    );
    let quarantine_stays = Expiry {
        quarantine: None,
        ..expiry
    };
    assert_eq!(expires(quarantine_stays), [None, Some(1), None]);
    for chunk in encode(
        records(&noise(1_000_000), Err(ParseError::NoEvent)).remove(0),
        expiry,
        0,
    ) {
        assert_eq!(super::expiry(&chunk), Some(2));
    }
}

#[test]
fn only_events_are_in_the_index_and_each_is_stamped_once() {
    let recorded = Timestamp::from_epoch(1_795_260_000).unwrap();
    let later = Timestamp::from_epoch(1_795_270_000).unwrap();
    let parsed = Ok(vec![Ok(event("a", "{}")), Ok(event("b", "{}"))]);
    let mut stamped = items(b"[]", parsed);
    stamped.extend(quarantined(b"{"));
    for item in &mut stamped {
        stamp(item, recorded);
        stamp(item, later);
    }
    let hours: Vec<_> = stamped
        .iter()
        .map(|item| attribute(item, "hourshard"))
        .collect();
    let [None, Some(one), Some(other), None] = hours[..] else {
        panic!("{hours:?}")
    };
    assert!(one.starts_with("2026-11-21T11#") && other.starts_with("2026-11-21T11#"));
    assert_ne!(one, other);
    assert_eq!(
        attribute(&stamped[1], "recordedtime"),
        Some("2026-11-21T11:20:00.000000Z")
    );
}

#[test]
fn a_text_above_the_limit_is_compressed() {
    let limit = COMPRESS_ABOVE - r#"{"t":""}"#.len();
    for (length, compressed) in [(limit, false), (limit + 1, true)] {
        let text = format!(r#"{{"t":"{}"}}"#, "a".repeat(length));
        let stored = items(text.as_bytes(), Ok(vec![Ok(event("a", &text))]));
        assert_eq!(stored[0].contains_key("compressed"), compressed);
        assert_eq!(stored[0].contains_key("data"), !compressed);
        assert_eq!(bytes(decoded(stored)), text.as_bytes());
        let stored = quarantined(text.as_bytes());
        assert_eq!(stored[0].contains_key("compressedbody"), compressed);
        assert_eq!(bytes(decoded(stored)), text.as_bytes());
    }
}

#[test]
fn an_item_of_any_size_fits_and_is_restored() {
    for (length, expected) in [
        (0, 1),
        (MAX_CONTENT_BYTES - 2_000, 1),
        (MAX_CONTENT_BYTES + 1, 3),
        (MAX_CHUNK_BYTES * 3, 5),
        (6_000_000, 17),
    ] {
        let stored = quarantined(&noise(length));
        assert_eq!(stored.len(), expected, "{length} bytes");
        assert!(
            stored.iter().all(|item| size(item) <= 400_000),
            "{length} bytes"
        );
        assert_eq!(bytes(decoded(stored)), noise(length), "{length} bytes");
    }
    let text = "{\"deal\":42}".repeat(400_000).into_bytes();
    let stored = quarantined(&text);
    assert_eq!(
        stored.len(),
        1,
        "4.4 MB of text are compressed into one item"
    );
    assert_eq!(bytes(decoded(stored)), text);
}

#[test]
fn chunks_hold_the_data_and_behind_it_the_exact_body() {
    let text: String = noise(500_000)
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    let data = format!(r#"{{"text":"{text}"}}"#);
    let body = format!("text={text}");
    let stored = items(body.as_bytes(), Ok(vec![Ok(event("a", &data))]));
    assert!(stored.len() > 2);
    let Record::Event {
        event,
        body: Body::Here(restored),
        ..
    } = decoded(stored)
    else {
        panic!()
    };
    assert_eq!(
        (event.data.get(), restored),
        (data.as_str(), body.into_bytes())
    );
}

/// The size of an item as DynamoDB counts it: names and values, in bytes.
fn size(item: &Item) -> usize {
    let attributes = item.iter();
    attributes
        .map(|(name, value)| name.len() + value_size(value))
        .sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn chunks_are_put_before_their_owner_and_have_its_keys() {
    let mut items = quarantined(&noise(1_000_000));
    let owner = items.pop().unwrap();
    assert!(items.iter().all(is_chunk) && !is_chunk(&owner));
    let keys: Vec<Key> = items.iter().map(key).collect();
    assert_eq!(keys, chunk_keys(&owner));
    assert_eq!(keys.len(), 3);
}

#[test]
fn each_chunk_has_one_owner() {
    let mut items = quarantined(&noise(1_000_000));
    let owner = key(&items.pop().unwrap());
    let prefix = chunk_prefix(&owner);
    for chunk in items.iter().map(key) {
        assert!(chunk.pk == prefix.pk && chunk.sk.starts_with(&prefix.sk));
        assert!(is_owned_by(&chunk, &owner));
        let longer = format!("{}#x", owner.sk);
        let shorter = owner.sk.split_once('#').unwrap().0;
        for (pk, sk) in [
            (owner.pk.clone(), longer.as_str()),
            (owner.pk.clone(), shorter),
            (format!("{}#x", owner.pk), &owner.sk),
        ] {
            let other = Key {
                pk,
                sk: sk.to_owned(),
            };
            assert!(
                !is_owned_by(&chunk, &other),
                "{chunk:?} is a chunk of {other:?}"
            );
        }
    }
    assert!(!is_owned_by(&owner, &owner));
}

/// DynamoDB's limits for `pk` and `sk`, in bytes.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_PK_BYTES: usize = 2_048;
const MAX_SK_BYTES: usize = 1_024;

#[test]
fn chunks_of_the_longest_keys_have_keys_that_dynamodb_takes() {
    let event: Value = json!({
        "specversion": "1.0", "id": "0".repeat(32), "source": "s".repeat(MAX_SOURCE_BYTES),
        "type": "t", "subject": "s".repeat(MAX_SUBJECT_BYTES),
        "time": "2026-11-21T10:00:00.000000Z", "datacontenttype": "application/json",
        "originaltype": "T", "data": {},
    });
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    let body = noise(6_000_000);
    let mut items = items(&body, Ok(vec![Ok(event)]));
    items.extend(quarantined(&body));
    assert!(items.iter().filter(|item| is_chunk(item)).count() > 30);
    for key in items.iter().map(key) {
        assert!(key.pk.len() <= MAX_PK_BYTES, "{}", key.pk.len());
        assert!(key.sk.len() <= MAX_SK_BYTES, "{}", key.sk.len());
    }
}

#[test]
fn incomplete_or_reordered_chunks_are_an_error() {
    let mut items = quarantined(&noise(1_000_000));
    let owner = items.pop().unwrap();
    assert!(decode(owner.clone(), items.clone()).is_ok());
    let missing = items[1..].to_vec();
    assert_eq!(
        decode(owner.clone(), missing).unwrap_err(),
        ItemError::Chunks
    );
    items.swap(0, 1);
    assert_eq!(decode(owner, items).unwrap_err(), ItemError::Chunks);
}

#[test]
fn the_key_of_an_event_is_parsed_into_its_parts() {
    let event = event("a", "{}");
    let parts = EventKey::from(&event);
    assert_eq!(EventKey::parse(&Key::from(&parts)), Some(parts));
    let body = Key::for_body("closer", "x");
    assert_eq!(EventKey::parse(&body), None);
}
