//! Chunks of records that are too large for one item: they belong to one record and one set of
//! bytes, and are removed with it.

use super::SPAN;
use aws_sdk_dynamodb::types::AttributeValue;
use models::{Delivery, Event, ParseError, Record, Timestamp};
use std::collections::BTreeSet;
use storage::{Client, Expiry, Key, Order, Settings, Table, schema::Item};
use testkit::{
    exact::exact_bytes,
    noise_text,
    proxy::{Fault, Proxy},
    request::event,
    site::{ARRIVAL, Site, altered, encoded, records},
};

/// Two times at which items expire.
const EARLY: i64 = 4_102_444_800;
const LATE: i64 = EARLY + 82_800;

/// Length of a text that needs more than one chunk.
const LENGTH: usize = 700_000;

/// A Closer event with several chunks, and with spaces that do not belong to its content.
fn large_event(spaces: usize) -> Record {
    let body = event("closer", 1);
    let body = body.strip_suffix('}').unwrap();
    let body = format!(
        r#"{body},{}"name":"{}"}}"#,
        " ".repeat(spaces),
        noise_text(LENGTH)
    );
    records(&providers::CLOSER, &body).remove(0)
}

/// An amoCRM event of one request, with several chunks and without a time of its own.
fn large_timeless_event(request_id: &str) -> Record {
    let delivery = Delivery::new(
        format!(
            "leads[add][0][id]=1&leads[add][0][name]={}",
            noise_text(LENGTH)
        )
        .into_bytes(),
        Timestamp::parse(ARRIVAL).unwrap(),
        request_id,
    );
    Record::from_delivery("amocrm", &delivery, (providers::AMOCRM.parse)(&delivery)).remove(0)
}

/// A quarantined delivery with several chunks.
fn large_quarantined(body: &str) -> Record {
    let delivery = testkit::site::delivery(body);
    Record::from_delivery("closer", &delivery, Err(ParseError::Panicked)).remove(0)
}

/// All items of the table, as they are stored.
async fn items(site: &Site) -> Vec<Item> {
    let scan = site
        .client()
        .scan()
        .table_name(hookkeeper::dev::TABLE)
        .consistent_read(true);
    scan.into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .unwrap()
}

async fn delete(site: &Site, item: &Item) {
    let delete = site
        .client()
        .delete_item()
        .table_name(hookkeeper::dev::TABLE);
    delete
        .key("pk", item["pk"].clone())
        .key("sk", item["sk"].clone())
        .send()
        .await
        .unwrap();
}

fn expires(item: &Item) -> Option<i64> {
    item.get("expires")
        .map(|expires| expires.as_n().unwrap().parse().unwrap())
}

/// Removes the items that expire at a time or before, as DynamoDB does.
async fn expire(site: &Site, now: i64) {
    for item in items(site).await {
        if expires(&item).is_some_and(|expires| expires <= now) {
            delete(site, &item).await;
        }
    }
}

async fn assert_is_empty(site: &Site, case: &str) {
    let left: Vec<_> = items(site)
        .await
        .into_iter()
        .map(|item| (item["pk"].clone(), item["sk"].clone()))
        .collect();
    assert!(left.is_empty(), "{case} leaves {left:?}");
}

/// All interleavings of two writers with these numbers of steps: the writer of each step.
fn interleavings(first: usize, second: usize) -> Vec<Vec<usize>> {
    if first + second == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (writer, left) in [(0, first), (1, second)] {
        if left > 0 {
            let rest = if writer == 0 {
                interleavings(first - 1, second)
            } else {
                interleavings(first, second - 1)
            };
            all.extend(rest.into_iter().map(|rest| [vec![writer], rest].concat()));
        }
    }
    all
}

#[tokio::test]
async fn two_writers_never_mix_their_chunks_and_a_removal_removes_both_sets() {
    let site = Site::start().await;
    for records in [
        [large_event(0), large_event(3)],
        [large_event(0), large_event(0)],
    ] {
        let key = Key::from_record(&records[0]);
        assert_eq!(key, Key::from_record(&records[1]), "they are one event");
        let writers = records.each_ref().map(encoded);
        assert!(
            writers.iter().all(|items| items.len() == 3),
            "two parts and the item itself"
        );
        for order in interleavings(writers[0].len(), writers[1].len()) {
            let mut steps = writers.clone().map(Vec::into_iter);
            let mut first = None;
            for writer in &order {
                let item = steps[*writer].next().unwrap();
                let is_head = item.contains_key("chunks");
                site.table.put(item, site.table.now()).await.unwrap();
                if is_head {
                    first.get_or_insert(*writer);
                }
                let Some(first) = first else { continue };
                let stored = site.get(&key).await.expect("a finished record is there");
                assert!(
                    exact_bytes(&stored.record, &[]) == exact_bytes(&records[first], &[]),
                    "{order:?} mixes the parts"
                );
            }
            site.table.remove(&key).await.unwrap();
            assert_is_empty(&site, &format!("removing what was written as {order:?}")).await;
        }
    }
}

#[tokio::test]
async fn equal_chunks_of_two_records_expire_with_their_own_record() {
    let site = Site::start().await;
    let [first, second] = ["one", "two"].map(large_timeless_event);
    assert_eq!(exact_bytes(&first, &[]), exact_bytes(&second, &[]));
    site.put(std::slice::from_ref(&first), Some(EARLY)).await;
    site.put(std::slice::from_ref(&second), Some(LATE)).await;
    expire(&site, EARLY).await;
    assert!(site.get(&Key::from_record(&first)).await.is_none());
    let stored = site
        .get(&Key::from_record(&second))
        .await
        .expect("the second record is there until it expires");
    assert_eq!(exact_bytes(&stored.record, &[]), exact_bytes(&second, &[]));
    expire(&site, LATE).await;
    assert_is_empty(&site, "the expiry of both records").await;
}

#[tokio::test]
async fn chunks_of_a_failed_attempt_live_as_long_as_the_record_of_the_retry() {
    for (of_the_attempt, of_the_retry) in [
        (Some(EARLY), Some(LATE)),
        (Some(EARLY), None),
        (None, Some(LATE)),
    ] {
        let site = Site::start().await;
        let record = large_event(0);
        let expiry = Expiry::same(of_the_attempt);
        let mut attempt = site.table.encode(record.clone(), expiry);
        attempt.pop();
        for chunk in attempt {
            site.put_item(chunk).await;
        }
        site.put(std::slice::from_ref(&record), of_the_retry).await;
        expire(&site, EARLY).await;
        let stored = site.get(&Key::from_record(&record)).await;
        assert!(
            stored.is_some(),
            "{of_the_attempt:?} then {of_the_retry:?}: the parts are gone before the record"
        );
    }
}

#[tokio::test]
async fn chunks_expire_with_their_record() {
    let site = Site::start().await;
    site.put(&[large_event(0)], Some(EARLY)).await;
    let times: Vec<_> = items(&site).await.iter().map(expires).collect();
    assert_eq!(times, [Some(EARLY); 3]);

    let site = Site::start().await;
    site.put(&[large_quarantined(&noise_text(LENGTH))], Some(EARLY))
        .await;
    let times: Vec<_> = items(&site).await.iter().map(expires).collect();
    assert_eq!(times, [Some(EARLY); 3]);
}

#[tokio::test]
async fn replacing_a_record_removes_the_chunks_of_the_old_one() {
    let site = Site::start().await;
    let (old, new) = (large_event(0), large_event(3));
    site.put(std::slice::from_ref(&old), Some(EARLY)).await;
    let stored = site.get(&Key::from_record(&old)).await.unwrap();
    site.table.replace(new.clone(), &stored).await.unwrap();
    assert_eq!(items(&site).await.len(), encoded(&new).len());
    assert_eq!(
        exact_bytes(
            &site.get(&Key::from_record(&new)).await.unwrap().record,
            &[]
        ),
        exact_bytes(&new, &[])
    );
    let small = records(&providers::CLOSER, &event("closer", 1)).remove(0);
    site.table.replace(small, &stored).await.unwrap();
    site.table.remove(&Key::from_record(&new)).await.unwrap();
}

/// A sender chooses the subject, so it can equal the name of another subject's chunks.
#[tokio::test]
async fn a_subject_that_looks_like_a_chunk_key_is_still_an_event() {
    let site = Site::start().await;
    let large = large_event(0);
    let odd = altered(
        &records(&providers::CLOSER, &event("closer", 1))[0],
        |event| event.subject += "#chunks",
    );
    site.put(&[large.clone(), odd.clone()], None).await;
    let history: Vec<_> = futures_util::TryStreamExt::try_collect(
        site.table
            .history(&Key::from_record(&odd).pk, Order::OldestFirst),
    )
    .await
    .unwrap();
    let keys: Vec<_> = history
        .into_iter()
        .map(|stored: storage::Stored| stored.key)
        .collect();
    assert_eq!(keys, [Key::from_record(&odd)]);
    assert_eq!(site.table.records().await.unwrap().len(), 2);
    site.table.remove(&Key::from_record(&large)).await.unwrap();
    assert_eq!(
        items(&site).await.len(),
        1,
        "the event stays when the parts beside it go"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_large_delivery_removes_all_its_items() {
    let site = Site::start().await;
    site.put(&[large_quarantined(&noise_text(LENGTH))], None)
        .await;
    assert!(
        site.run(&["quarantine", "drop", &handle(&site), "--yes"])
            .ends_with("Dropped 1.\n")
    );
    assert_is_empty(&site, "quarantine drop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_chunks_are_missing_is_listed_as_damaged_and_can_be_dropped() {
    let site = Site::start().await;
    let [damaged, whole] = [LENGTH, 1].map(|length| large_quarantined(&noise_text(length)));
    let mut items_of_damaged = encoded(&damaged);
    items_of_damaged.remove(0);
    for item in items_of_damaged {
        site.put_item(item).await;
    }
    site.put(&[whole], None).await;
    let list = [&["quarantine"], &SPAN[..]].concat();
    let listed = site.run(&list);
    assert_eq!(
        listed.matches("its chunks are missing").count(),
        1,
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let replayed = site.run(&[&["quarantine", "replay"], &SPAN[..]].concat());
    assert!(
        replayed.ends_with("0 deliveries replayed, 2 still in quarantine.\n"),
        "{replayed}"
    );
    let damaged = listed.lines().find(|line| line.contains("its chunks"));
    let handle = damaged.unwrap().split(' ').next().unwrap();
    let dropped = site.run(&["quarantine", "drop", handle, "--yes"]);
    assert!(dropped.ends_with("Dropped 1.\n"), "{dropped}");
    assert_eq!(items(&site).await.len(), 1);
    assert!(!site.run(&list).contains("its chunks are missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_a_large_delivery_removes_all_its_items_from_the_quarantine() {
    let site = Site::start().await;
    let readable = large_event(0);
    site.put(
        &[large_quarantined(
            str::from_utf8(exact_bytes(&readable, &[])).unwrap(),
        )],
        None,
    )
    .await;
    let printed = site.run(&[&["quarantine", "replay"], &SPAN[..]].concat());
    assert!(
        printed.contains("\n1 deliveries replayed, 0 still in quarantine."),
        "{printed}"
    );
    assert_eq!(keys(&site).await, keys_of(&readable));
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_a_large_event_removes_all_items_of_its_old_key() {
    let site = Site::start().await;
    let readable = large_event(0);
    let old = altered(&readable, |event: &mut Event| {
        event.subject = "thing/1".to_owned();
    });
    site.put(&[old], None).await;
    assert!(site.run(&["replay"]).contains(" 1 moved"));
    assert_eq!(keys(&site).await, keys_of(&readable));
}

/// The handle of the one delivery that the quarantine lists.
fn handle(site: &Site) -> String {
    let list = site.run(&[&["quarantine", "--output", "json"], &SPAN[..]].concat());
    let row: serde_json::Value = serde_json::from_str(list.trim()).unwrap();
    row["handle"].as_str().unwrap().to_owned()
}

fn key(item: &Item) -> [AttributeValue; 2] {
    ["pk", "sk"].map(|name| item[name].clone())
}

async fn keys(site: &Site) -> BTreeSet<String> {
    items(site)
        .await
        .iter()
        .map(|item| format!("{:?}", key(item)))
        .collect()
}

fn keys_of(record: &Record) -> BTreeSet<String> {
    encoded(record)
        .iter()
        .map(|item| format!("{:?}", key(item)))
        .collect()
}

/// A table through a proxy.
fn through(proxy: &Proxy) -> Table {
    let settings = Settings::local(hookkeeper::dev::TABLE, proxy.endpoint());
    Table::new(&Client::new(), &settings)
}

/// Maximum number of requests for the removal of a record.
const REQUESTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_removal_is_not_a_broken_record_and_the_next_one_finishes_it() {
    let record = large_event(0);
    let key = Key::from_record(&record);
    let mut interrupted = 0;
    for requests in 0..REQUESTS {
        let site = Site::start().await;
        let proxy = Proxy::start(&site.endpoint());
        site.put(&[record.clone(), large_event(3)], None).await;
        proxy.set_after(requests, Fault::InternalError).await;
        let removed = through(&proxy).remove(&key).await;
        interrupted += usize::from(removed.is_err());
        if let Some(stored) = site.table.get(&key).await.expect("no reader fails") {
            assert_eq!(
                exact_bytes(&stored.record, &[]),
                exact_bytes(&record, &[]),
                "after {requests} requests"
            );
        }
        assert_eq!(
            site.table
                .records()
                .await
                .expect("nor does a listing")
                .len(),
            items_of(&site, &key).await
        );
        site.table.remove(&key).await.unwrap();
        assert_is_empty(
            &site,
            &format!("a removal after one that ended after {requests} requests"),
        )
        .await;
    }
    assert!((4..REQUESTS).contains(&interrupted), "{interrupted} were");
}

async fn items_of(site: &Site, key: &Key) -> usize {
    usize::from(site.table.get(key).await.unwrap().is_some())
}

/// Begins to remove a record, and stops after the requests that mark it and delete one of its
/// chunks.
async fn begin_removal(site: &Site, key: &Key) {
    let proxy = Proxy::start(&site.endpoint());
    proxy.set_after(3, Fault::InternalError).await;
    through(&proxy).remove(key).await.unwrap_err();
    assert!(
        site.get(key).await.is_none(),
        "a record that is being removed is not there"
    );
    assert_eq!(items(site).await.len(), 2, "one part is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_finish_an_interrupted_removal() {
    let site = Site::start().await;
    let event = large_event(0);
    let delivery = large_quarantined(&noise_text(LENGTH));
    for (record, command) in [
        (&event, vec!["replay"]),
        (&delivery, [&["quarantine", "replay"], &SPAN[..]].concat()),
        (&delivery, vec!["quarantine", "drop", "--yes"]),
        (&delivery, vec!["quarantine", "replay"]),
    ] {
        site.put(std::slice::from_ref(record), None).await;
        let handle = match record {
            Record::Quarantined { .. } => handle(&site),
            _ => String::new(),
        };
        begin_removal(&site, &Key::from_record(record)).await;
        let by_handle =
            matches!(record, Record::Quarantined { .. }) && !command.contains(&"--since");
        let command = if by_handle {
            [&command[..], &[handle.as_str()]].concat()
        } else {
            command
        };
        let printed = site.run(&command);
        assert!(
            printed.contains("finished an interrupted removal"),
            "{command:?}: {printed}"
        );
        assert_is_empty(&site, &format!("{command:?}")).await;
    }
}

#[tokio::test]
async fn a_shared_body_lives_as_long_as_the_events_of_a_later_delivery() {
    let timeless = |request_id: &str| {
        let delivery = Delivery::new(
            b"leads[call_in][0][id]=1&leads[call_in][1][id]=2".to_vec(),
            Timestamp::parse(ARRIVAL).unwrap(),
            request_id,
        );
        Record::from_delivery("amocrm", &delivery, (providers::AMOCRM.parse)(&delivery))
    };
    for (first, second) in [(EARLY, Some(LATE)), (LATE, Some(EARLY)), (EARLY, None)] {
        let site = Site::start().await;
        site.put(&timeless("one"), Some(first)).await;
        site.put(&timeless("another"), second).await;
        let all = items(&site).await;
        let body = all
            .iter()
            .find(|item| item["sk"].as_s().unwrap() == "body")
            .unwrap();
        assert_eq!(all.len(), 5, "four events and one body: {all:?}");
        let latest = all
            .iter()
            .map(|item| expires(item).unwrap_or(i64::MAX))
            .max();
        assert_eq!(
            Some(expires(body).unwrap_or(i64::MAX)),
            latest,
            "{first} and {second:?}"
        );
    }
}
