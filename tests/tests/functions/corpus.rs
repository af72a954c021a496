//! Parses recorded third-party webhooks and compares the events with the index of the corpus.
//!
//! See [`testkit::corpus`] for its location. `cargo test -- --nocapture` prints the number of
//! bodies.

use hookkeeper::dev::gateway;
use indexmap::IndexMap;
use ingest::Verdict;
use lambda_http::http::{HeaderMap, HeaderValue, Method, Uri, header};
use models::{Event, Record};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use testkit::{
    corpus::{self, Row},
    deployment::deliver,
    exact::exact_bytes,
    provider,
};

#[test]
fn every_body_is_parsed_as_its_index_says() {
    let Some(rows) = corpus::rows() else { return };
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in &rows {
        let read = row.read(&row.body);
        counts.entry(&row.provider).or_default()[usize::from(read.is_err())] += 1;
        match read {
            Err(reason) => assert!(row.is_malformed(), "{}: {reason}", row.file),
            Ok(events) => check(row, &events),
        }
    }
    println!("{:<10} {:>5} {:>11}", "provider", "read", "unreadable");
    for (provider, [read, unreadable]) in counts {
        println!("{provider:<10} {read:>5} {unreadable:>11}");
    }
}

fn check(row: &Row, events: &[Event]) {
    let (kind, count) = row.expected();
    assert!(!row.is_malformed(), "{} was read", row.file);
    assert_eq!(events.len(), count, "{}", row.file);
    for event in events {
        assert_eq!(event.r#type, kind, "{}", row.file);
        assert_eq!(
            event.source.split('/').next(),
            Some(&*row.provider),
            "{}",
            row.file
        );
        let id = event.subject.split('/').nth(1).unwrap_or_default();
        assert!(
            !id.is_empty() && String::from_utf8_lossy(&row.body).contains(id),
            "{}: {}",
            row.file,
            event.subject
        );
        assert_eq!(
            event.timeproblem.is_none(),
            row.has_a_time(),
            "{}: {:?}",
            row.file,
            event.timeproblem
        );
        let year: u16 = event.time.day()[..4].parse().unwrap();
        assert!(
            !row.has_a_time() || (2012..=2027).contains(&year),
            "{}: {}",
            row.file,
            event.time
        );
        let channel = match row.version.split_whitespace().next() {
            Some("account") => Some("account"),
            Some("digital") => Some("digital_pipeline"),
            _ => event.channel.as_deref(),
        };
        assert_eq!(event.channel.as_deref(), channel, "{}", row.file);
    }
}

#[tokio::test]
async fn every_body_is_stored_byte_for_byte() {
    let Some(rows) = corpus::rows() else { return };
    for row in &rows {
        let headers = HeaderMap::from_iter([
            (
                header::AUTHORIZATION,
                HeaderValue::from_static("Basic bG9jYWw6bG9jYWw="),
            ),
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static(row.content_type()),
            ),
        ]);
        let uri: Uri = format!("/{}", row.provider).parse().unwrap();
        let event = gateway::event(&Method::POST, &uri, &headers, &row.body.clone().into());
        let (verdicts, records) = deliver(provider(&row.provider), &[event]).await;
        match &verdicts[0] {
            Verdict::Stored {
                events,
                duplicates: 0,
            } => assert_eq!(*events, row.expected().1, "{}", row.file),
            Verdict::Quarantined { .. } => assert!(row.is_malformed(), "{}", row.file),
            other => panic!("{}: {}", row.file, other.word()),
        }
        let quarantined = records
            .iter()
            .any(|stored| matches!(stored.record, Record::Quarantined { .. }));
        assert_eq!(quarantined, row.is_malformed(), "{}", row.file);
        assert!(!records.is_empty(), "{}", row.file);
        let records: Vec<_> = records.into_iter().map(|stored| stored.record).collect();
        for record in &records {
            assert_eq!(exact_bytes(record, &records), row.body, "{}", row.file);
        }
    }
}

type Object = IndexMap<String, Box<RawValue>>;

/// A Pipedrive body as another webhook on the same URL sends it again: with another attempt
/// count and webhook, and keys in another order.
fn retried(body: &[u8]) -> Vec<u8> {
    let mut top: Object = serde_json::from_slice(body).unwrap();
    let mut meta: Object = serde_json::from_str(top["meta"].get()).unwrap();
    let another = to_raw_value("another").unwrap();
    if meta.contains_key("entity") {
        meta.insert("type".to_owned(), to_raw_value("application").unwrap());
        meta.insert("attempt".to_owned(), to_raw_value(&3).unwrap());
        meta.insert("correlation_id".to_owned(), another.clone());
        meta.insert("webhook_owner_id".to_owned(), another.clone());
    } else {
        top.insert("retry".to_owned(), to_raw_value(&2).unwrap());
    }
    meta.insert("webhook_id".to_owned(), another);
    meta.reverse();
    top.insert("meta".to_owned(), to_raw_value(&meta).unwrap());
    top.reverse();
    serde_json::to_vec(&top).unwrap()
}

/// A Pipedrive body with one more field in its object.
fn changed(body: &[u8]) -> Vec<u8> {
    let mut top: Object = serde_json::from_slice(body).unwrap();
    let name = ["data", "current", "previous"]
        .into_iter()
        .find(|name| top.get(*name).is_some_and(|value| value.get() != "null"));
    let name = name.expect("one of them is there");
    let (start, rest) = top[name].get().split_at(1);
    let more = if start == "[" {
        "null,"
    } else {
        r#""one_more":1,"#
    };
    top.insert(
        name.to_owned(),
        RawValue::from_string(format!("{start}{more}{rest}")).unwrap(),
    );
    serde_json::to_vec(&top).unwrap()
}

#[test]
fn a_pipedrive_id_survives_retries_and_changes_with_the_content() {
    let Some(rows) = corpus::rows() else { return };
    for row in rows.iter().filter(|row| row.provider == "pipedrive") {
        let bodies = [row.body.clone(), retried(&row.body), changed(&row.body)];
        let ids = bodies.map(|body| row.read(&body).unwrap().remove(0).id);
        assert_eq!(ids[1], ids[0], "{}", row.file);
        assert_ne!(ids[2], ids[0], "{}", row.file);
    }
}
