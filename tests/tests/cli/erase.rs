//! `hookkeeper erase`: it finds a person in every stored form, removes all of it, and nothing
//! brings it back.

mod queue;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_sdk_dynamodb::types::AttributeValue;
use models::{Delivery, Record, Timestamp};
use providers::{AMOCRM, CLOSER, PIPEDRIVE};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use storage::{Key, Message, schema::Item};
use testkit::{
    noise_text,
    site::{ARRIVAL, Site, encoded, quarantined, records},
    stores::{ANSWERED, Service, Stores},
};

const ADA: [&str; 4] = ["erase", "--mention", "ada@example.com", "--yes"];

/// An amoCRM delivery of two contacts. Only the first one mentions Ada.
const TWO_CONTACTS: &str = "contacts%5Badd%5D%5B0%5D%5Bid%5D=1&contacts%5Badd%5D%5B0%5D%5Bupdated_at%5D=1795255200\
    &contacts%5Badd%5D%5B0%5D%5Bemail%5D=ada%40example.com\
    &contacts%5Badd%5D%5B1%5D%5Bid%5D=2&contacts%5Badd%5D%5B1%5D%5Bupdated_at%5D=1795255200\
    &account%5Bid%5D=1001";

/// A Pipedrive delivery of a person.
fn person(id: u32, name: &str) -> String {
    format!(
        r#"{{"data":{{"id":{id},"name":"{name}"}},"previous":null,"meta":{{"version":"2.0","action":"create","entity":"person","entity_id":"{id}","company_id":"7","id":"4ad6a8f7-2b5c-4f0e-9a63-{id:012x}","timestamp":"2026-11-21T10:00:00.000Z"}}}}"#
    )
}

/// A Closer delivery whose text is this long and mentions Ada at its end.
fn long(text: &str) -> String {
    format!(
        r#"{{"eventType":"ThreadCreatedEvent","timestamp":1795255200000,"customer":{{"id":"5"}},"text":"{text}","email":"ada\u0040example.com"}}"#
    )
}

async fn items(site: &Site) -> Vec<Item> {
    let scan = site.client().scan().table_name(hookkeeper::dev::TABLE);
    let items = scan.consistent_read(true).into_paginator().items().send();
    items.try_collect().await.unwrap()
}

fn kind(item: &Item) -> &str {
    item["kind"].as_s().unwrap()
}

/// Runs an erasure that must succeed.
fn erase(site: &Site, arguments: &[&str]) {
    let printed = site.run(arguments);
    assert!(printed.ends_with(" erased.\n"), "{printed}");
}

/// The number of items of each kind.
async fn kinds(site: &Site) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for item in items(site).await {
        *kinds.entry(kind(&item).to_owned()).or_default() += 1;
    }
    kinds
}

/// The keys of all items that are not erasures.
async fn keys(site: &Site) -> BTreeSet<String> {
    let items = items(site).await.into_iter();
    let items = items.filter(|item| kind(item) != "erasure");
    items
        .map(|item| format!("{:?} {:?}", item["pk"], item["sk"]))
        .collect()
}

/// The counts that the command prints as JSON.
fn counts(printed: &str) -> BTreeMap<String, u64> {
    let lines = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|line: Value| {
            let kind = line["kind"].as_str().unwrap().to_owned();
            (kind, line["count"].as_u64().unwrap())
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_is_found_in_every_stored_form() {
    let [compressible, incompressible] = [" ".repeat(10_000), noise_text(700_000)];
    let cases: [(&str, Vec<Record>, Value); 7] = [
        (
            "a form",
            records(&AMOCRM, TWO_CONTACTS),
            json!({ "event": 1, "body": 1 }),
        ),
        (
            "JSON",
            records(&PIPEDRIVE, &person(1, "ada@example.com")),
            json!({ "event": 1 }),
        ),
        (
            "escaped JSON",
            records(&PIPEDRIVE, &person(1, r"\u0061da\u0040example.com")),
            json!({ "event": 1 }),
        ),
        (
            "a quarantined form",
            vec![quarantined(&AMOCRM, TWO_CONTACTS)],
            json!({ "quarantine": 1 }),
        ),
        (
            "quarantined JSON that was cut off",
            vec![quarantined(&PIPEDRIVE, r#"{"email":"ada\u0040example.com"#)],
            json!({ "quarantine": 1 }),
        ),
        (
            "a compressed text",
            records(&CLOSER, &long(&compressible)),
            json!({ "event": 1 }),
        ),
        (
            "chunks",
            records(&CLOSER, &long(&incompressible)),
            json!({ "event": 1, "chunk": 2 }),
        ),
    ];
    for (case, records, expected) in cases {
        let site = Site::start().await;
        let other = testkit::site::records(&PIPEDRIVE, &person(2, "Grace"));
        site.put(&other, None).await;
        let before = keys(&site).await;
        site.put(&records, None).await;
        let printed = site.run(&[&ADA[..], &["--output", "json"]].concat());
        let expected = serde_json::from_value(expected).unwrap();
        assert_eq!(counts(&printed), expected, "{case}");
        let left = keys(&site).await;
        let second_contact = left.iter().filter(|key| key.contains("contact/2")).count();
        assert_eq!(second_contact, usize::from(case == "a form"), "{case}");
        assert!(left.is_superset(&before), "{case}");
        assert_eq!(left.len(), before.len() + second_contact, "{case}");
        assert_eq!(
            counts(&site.run(&[&ADA[..], &["--output", "json"]].concat())),
            [].into()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_compared_without_escapes_case_and_composition() {
    let site = Site::start().await;
    let body = person(
        1,
        r"\u0410\u043d\u043d\u0430 \u0410\u043d\u0434\u0440\u0435\u0438\u0306",
    );
    site.put(&records(&PIPEDRIVE, &body), None).await;
    let printed = site.run(&["erase", "--mention", "анна Андрей", "--yes"]);
    assert!(printed.contains("\n1 events, 0 shared bodies"), "{printed}");
    assert_eq!(keys(&site).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_erased_with_its_shared_body_and_from_quarantine() {
    let site = Site::start().await;
    site.put(&records(&AMOCRM, TWO_CONTACTS), None).await;
    site.put(&records(&PIPEDRIVE, &person(1, "Ada")), None)
        .await;
    site.put(&records(&PIPEDRIVE, &person(11, "Ada")), None)
        .await;
    // This version can parse it.
    site.put(&[quarantined(&PIPEDRIVE, &person(1, "Ada later"))], None)
        .await;
    let erase = |source: &str, subject: &str| {
        let arguments = [
            "erase",
            "--source",
            source,
            "--subject",
            subject,
            "--yes",
            "--output",
            "json",
        ];
        counts(&site.run(&arguments))
    };
    assert_eq!(erase("pipedrive/8", "person/1"), [].into());
    let expected = [("event".to_owned(), 1), ("quarantine".to_owned(), 1)];
    assert_eq!(erase("pipedrive/7", "person/1"), expected.into());
    let expected = [("event".to_owned(), 1), ("body".to_owned(), 1)];
    assert_eq!(erase("amocrm/1001", "contact/2"), expected.into());
    let left = keys(&site).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|key| key.contains("person/11")), "{left:?}");
    assert!(left.iter().any(|key| key.contains("contact/1")), "{left:?}");
}

/// One item of a delivery could not be parsed: its only content is in the shared body.
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_item_goes_with_the_body_that_it_shares() {
    let site = Site::start().await;
    let body = format!("{TWO_CONTACTS}&contacts%5Badd%5D%5B2%5D%5Bname%5D=Grace");
    site.put(&records(&AMOCRM, &body), None).await;
    assert_eq!(kinds(&site).await["quarantine"], 1);
    erase(&site, &ADA);
    let kinds = kinds(&site).await;
    assert_eq!(
        (kinds.get("quarantine"), kinds.get("body"), kinds["event"]),
        (None, None, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_contains_no_personal_data() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &person(1, "ada@example.com")), None)
        .await;
    erase(
        &site,
        &[
            "erase",
            "--subject",
            "person/1",
            "--mention",
            "ada@example.com",
            "--yes",
        ],
    );
    let items = items(&site).await;
    assert_eq!(items.len(), 2, "one of the subject, one of the event");
    for item in items {
        let mut names: Vec<_> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["erasedtime", "kind", "pk", "sk", "v"]);
        assert!(item["pk"].as_s().unwrap().starts_with("erasure#20"));
        let text = format!("{item:?}");
        assert!(!text.contains("ada") && !text.contains("person") && !text.contains("pipedrive"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let site = Site::start().await;
    site.put(&records(&AMOCRM, TWO_CONTACTS), None).await;
    site.put(&[quarantined(&AMOCRM, TWO_CONTACTS)], None).await;
    let before = items(&site).await;
    let printed = site.run(&["erase", "--mention", "ada@example.com", "--dry-run"]);
    let total = "1 events, 1 shared bodies, 1 quarantined deliveries and 0 chunks would be erased";
    assert!(printed.contains(total), "{printed}");
    assert!(printed.contains("  amocrm/1001  contact/1\n"), "{printed}");
    let sorted = |mut items: Vec<Item>| {
        items.sort_by_key(|item| format!("{:?}{:?}", item["pk"], item["sk"]));
        items
    };
    assert_eq!(sorted(items(&site).await), sorted(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_as_the_source_is_all_of_its_accounts() {
    let site = Site::start().await;
    site.put(&records(&AMOCRM, TWO_CONTACTS), None).await;
    let arguments = ["erase", "--source", "amocrm", "--subject", "contact/1"];
    erase(&site, &[&arguments[..], &["--yes"]].concat());
    assert!(
        keys(&site)
            .await
            .iter()
            .all(|key| key.contains("contact/2"))
    );
    let queued: Vec<Item> = records(&AMOCRM, TWO_CONTACTS)
        .iter()
        .flat_map(encoded)
        .collect();
    let drained = drain::drain(&site.table, batch(&queued)).await;
    assert_eq!((drained.drained, drained.erased), (1, 2));
    let again = site.output(&[&arguments[..], &["--dry-run"]].concat());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        again.status.success() && said.contains("Nothing was found"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_could_not_search_everything_is_exit_status_1() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &person(1, "ada@example.com")), None)
        .await;
    let large = records(&CLOSER, &long(&noise_text(700_000)));
    let mut incomplete = encoded(&large[0]);
    incomplete.remove(0);
    for item in incomplete {
        site.table.put(item, site.table.now()).await.unwrap();
    }
    let (code, error) = site.fail(&ADA);
    assert!(
        code == 1 && error.contains("1 records could not be searched"),
        "{error}"
    );
    let keys_left = keys(&site).await;
    assert!(
        keys_left.iter().all(|key| key.contains("customer/5")),
        "{keys_left:?}"
    );
    // The chunks of an event that was never stored.
    let other = long(&noise_text(700_000)).replace(r#"{"id":"5"}"#, r#"{"id":"6"}"#);
    let mut chunks = encoded(&records(&CLOSER, &other)[0]);
    chunks.pop();
    for mut chunk in chunks {
        site.put_item(chunk.clone()).await;
        // DynamoDB will delete this one.
        let pk = chunk["pk"]
            .as_s()
            .unwrap()
            .replace("customer/6", "customer/7");
        chunk.insert("pk".to_owned(), AttributeValue::S(pk));
        chunk.insert("expires".to_owned(), AttributeValue::N("1".to_owned()));
        site.put_item(chunk).await;
    }
    let (code, error) = site.fail(&ADA);
    assert!(
        code == 1 && error.contains("2 records could not be searched"),
        "{error}"
    );
    // Their keys name the subject, so they can be erased without being read.
    let of = |subject| ["erase", "--source", "closer", "--subject", subject, "--yes"];
    assert_eq!(site.fail(&of("customer/5")).0, 1);
    erase(&site, &of("customer/6"));
    let keys_left = keys(&site).await;
    assert!(
        keys_left.iter().all(|key| key.contains("customer/7")),
        "{keys_left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_accepts_that_a_shared_body_was_erased() {
    let site = Site::start().await;
    site.put(&records(&AMOCRM, TWO_CONTACTS), None).await;
    erase(&site, &ADA);
    let printed = site.run(&["replay", "--since", "2026-11-01"]);
    assert!(
        printed.contains("the body of its delivery was erased"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_exit_status_2_and_erases_nothing() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &person(1, "ada@example.com")), None)
        .await;
    for (arguments, message) in [
        (&["erase", "--yes"][..], "say what to erase"),
        (
            &["erase", "--source", "pipedrive/7", "--yes"],
            "say what to erase",
        ),
        (&["erase", "--mention", " ", "--yes"], "expected a text"),
        (
            &["erase", "--source", "nosuch/7", "--mention", "a", "--yes"],
            "expected a provider with an account",
        ),
        (
            &["erase", "--subject", "person/1 ", "--yes"],
            "expected a subject",
        ),
        (
            &["erase", "--mention", "a", "--output", "json"],
            "needs --yes or --dry-run",
        ),
        (
            &["erase", "--mention", "ada@example.com"],
            "pass --yes to confirm",
        ),
    ] {
        let (code, error) = site.fail(arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
    assert_eq!(kinds(&site).await, [("event".to_owned(), 1)].into());
}

fn batch(items: &[Item]) -> SqsEvent {
    let mut event = SqsEvent::default();
    for (number, item) in items.iter().enumerate() {
        let mut message = SqsMessage::default();
        message.message_id = Some(number.to_string());
        message.body = Some(Message::from_item(item).text().to_owned());
        event.records.push(message);
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_drops_items_of_erased_records() {
    for records in [
        records(&PIPEDRIVE, &person(1, "ada@example.com")),
        records(&CLOSER, &long(&noise_text(700_000))),
        vec![quarantined(&AMOCRM, TWO_CONTACTS)],
    ] {
        let site = Site::start().await;
        site.put(&records, None).await;
        erase(&site, &ADA);
        let queued: Vec<Item> = records.iter().flat_map(encoded).collect();
        let drained = drain::drain(&site.table, batch(&queued)).await;
        assert_eq!((drained.drained, drained.erased), (0, queued.len()));
        assert_eq!(drained.left, []);
        assert_eq!(keys(&site).await, BTreeSet::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_drops_the_shared_body_and_stores_the_other_event() {
    let site = Site::start().await;
    let records = records(&AMOCRM, TWO_CONTACTS);
    site.put(&records, None).await;
    erase(&site, &ADA);
    let queued: Vec<Item> = records.iter().flat_map(encoded).collect();
    let drained = drain::drain(&site.table, batch(&queued)).await;
    assert_eq!((drained.drained, drained.erased), (1, 2));
    let left = keys(&site).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left.iter().all(|key| key.contains("contact/2")), "{left:?}");
}

/// An item as an earlier release stored a chunk.
fn without_arrival(item: &Item) -> Item {
    let mut item = item.clone();
    item.remove("arrival");
    item
}

/// A record of a Closer delivery that arrived at a time.
fn arrived(arrival: Timestamp, body: &str) -> Record {
    let delivery = Delivery::new(body.into(), arrival, "another request");
    Record::from_delivery("closer", &delivery, (CLOSER.parse)(&delivery)).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_drops_events_of_an_erased_subject_that_arrived_before() {
    let site = Site::start().await;
    erase(&site, &["erase", "--subject", "customer/5", "--yes"]);
    let before = arrived(
        Timestamp::parse(ARRIVAL).unwrap(),
        &long(&noise_text(700_000)),
    );
    let queued = encoded(&before);
    let drained = drain::drain(&site.table, batch(&queued)).await;
    assert_eq!((drained.erased, drained.left), (3, vec![]));
    // The chunks come first, and those of an earlier release do not say when they arrived.
    let mut queued: Vec<_> = queued.iter().map(without_arrival).collect();
    queued.pop();
    let drained = drain::drain(&site.table, batch(&queued)).await;
    assert_eq!((drained.drained, drained.left), (2, vec![]));
    let head = encoded(&before).pop().unwrap();
    let drained = drain::drain(&site.table, batch(&[head])).await;
    assert_eq!((drained.erased, drained.left), (1, vec![]));
    assert_eq!(
        keys(&site).await,
        BTreeSet::new(),
        "the chunks are removed too"
    );

    let tomorrow = Timestamp::from_epoch(site.table.now().as_seconds() + 86_400).unwrap();
    let after = arrived(tomorrow, &long("new"));
    let drained = drain::drain(&site.table, batch(&encoded(&after))).await;
    assert_eq!(
        (drained.drained, drained.erased),
        (1, 0),
        "it arrived after the erasure of its subject"
    );
    assert!(site.get(&Key::from_record(&after)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_stores_a_record_that_is_sent_again_after_its_erasure() {
    let before = Timestamp::parse(ARRIVAL).unwrap();
    let after = before.after(Duration::from_hours(24 * 3650));
    let arrivals = [before, after];
    for [first, again] in [
        arrivals.map(|arrival| vec![arrived(arrival, &long("text"))]),
        arrivals.map(|arrival| vec![arrived(arrival, &long(&noise_text(700_000)))]),
        // Two events and the body that they share.
        arrivals.map(|arrival| {
            let delivery = Delivery::new(TWO_CONTACTS.into(), arrival, "request");
            Record::from_delivery("amocrm", &delivery, (AMOCRM.parse)(&delivery))
        }),
    ] {
        let site = Site::start().await;
        site.put(&first, None).await;
        erase(&site, &[&ADA[..], &["--subject", "contact/2"]].concat());
        assert_eq!(keys(&site).await, BTreeSet::new());
        for (records, is_erased) in [(&first, true), (&again, false)] {
            let queued: Vec<Item> = records.iter().flat_map(encoded).collect();
            let expected = if is_erased {
                (0, queued.len())
            } else {
                (queued.len(), 0)
            };
            // The chunks are in a batch of their own.
            let (head, chunks) = queued.split_last().unwrap();
            let chunks = drain::drain(&site.table, batch(chunks)).await;
            let head = drain::drain(&site.table, batch(std::slice::from_ref(head))).await;
            let drained = chunks.drained + head.drained;
            assert_eq!((drained, chunks.erased + head.erased), expected);
        }
        for record in &again {
            assert!(site.get(&Key::from_record(record)).await.is_some());
        }
    }
}

#[tokio::test]
async fn a_batch_costs_one_query_of_erasures_for_each_day_since_its_earliest_arrival() {
    let stores = Stores::new(|_| ANSWERED);
    let table = stores.table();
    let now = table.now();
    let a_day = Duration::from_hours(24);
    let of_age = |age| encoded(&arrived(now.before(age), &long("new")));
    let chunk = &encoded(&arrived(now, &long(&noise_text(700_000))))[..1];
    for (items, days) in [
        (of_age(Duration::ZERO), 1),
        (of_age(a_day), 2),
        ([of_age(2 * a_day), of_age(Duration::ZERO)].concat(), 3),
        (chunk.to_vec(), 1),
        (chunk.iter().map(without_arrival).collect(), 30),
    ] {
        let before = stores.calls(Service::Table);
        let drained = drain::drain(&table, batch(&items)).await;
        assert_eq!(drained.drained, items.len());
        let queries = stores.calls(Service::Table) - before - items.len();
        assert_eq!(queries, days);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_do_not_store_what_was_erased() {
    let site = Site::start().await;
    let records = records(&AMOCRM, TWO_CONTACTS);
    let (unparsed, erased) = (
        quarantined(&PIPEDRIVE, &person(1, "Ada")),
        quarantined(&PIPEDRIVE, &person(3, "ada@example.com")),
    );
    site.put(&records, None).await;
    site.put(std::slice::from_ref(&erased), None).await;
    erase(&site, &ADA);
    erase(&site, &["erase", "--subject", "person/1", "--yes"]);
    // A restore brought back the shared body and the quarantined deliveries.
    site.put(&records[..1], None).await;
    site.put(&[unparsed, erased], None).await;

    let printed = site.run(&["replay"]);
    assert!(
        printed.contains("1 events replayed: 0 changed, 0 moved, 0 added"),
        "{printed}"
    );
    let printed = site.run(&[
        "quarantine",
        "replay",
        "--since",
        "2026-11-20",
        "--until",
        "2026-11-23",
    ]);
    assert!(
        printed.contains("it was erased, and came back: drop it"),
        "{printed}"
    );
    let events = keys(&site).await;
    let events: Vec<_> = events
        .iter()
        .filter(|key| key.contains("person/") || key.contains("contact/1"))
        .collect();
    assert!(events.is_empty(), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_selects_by_a_mention() {
    let site = Site::start().await;
    site.put(&records(&AMOCRM, TWO_CONTACTS), None).await;
    site.put(
        &records(&PIPEDRIVE, &person(1, r"\u0061da\u0040example.com")),
        None,
    )
    .await;
    site.put(&records(&PIPEDRIVE, &person(2, "Grace")), None)
        .await;
    let exported = site.run(&["export", "--mention", "ADA@example.com"]);
    let subjects: BTreeSet<String> = exported
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["subject"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        subjects,
        ["contact/1", "person/1"].map(str::to_owned).into()
    );
}

/// A `#` separates source and subject in a key. A list would read another subject than the event
/// has.
#[test]
fn an_account_id_with_a_hash_is_quarantined() {
    let of_pipedrive =
        person(42, "Ada").replace(r#""company_id":"7""#, r#""company_id":"7#person/1""#);
    let of_amocrm = TWO_CONTACTS.replace("=1001", "=1001%23contact%2F1");
    for (provider, body) in [(PIPEDRIVE, of_pipedrive), (AMOCRM, of_amocrm)] {
        let records = records(&provider, &body);
        let reasons: Vec<_> = records
            .iter()
            .map(|record| record.reason().map(|reason| &*reason.code))
            .collect();
        assert_eq!(reasons, [Some("source_with_hash")], "{}", provider.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_shows_the_event_with_the_latest_time() {
    let site = Site::start().await;
    let later = |body: String| body.replace("10:00:00.000Z", "11:00:00.000Z");
    for body in [later(person(1, "Ada King")), person(1, "Ada")] {
        site.put(&records(&PIPEDRIVE, &body), None).await;
    }
    let printed = site.run(&["events", "latest", "person/1"]);
    assert!(
        printed.contains("\ntime          2026-11-21T11:00:00.000000Z\n"),
        "{printed}"
    );
    assert!(printed.contains(r#""name": "Ada King""#), "{printed}");
    let line = site.run(&[
        "events",
        "latest",
        "person/1",
        "--source",
        "pipedrive/7",
        "--output",
        "json",
    ]);
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap()["data"]["data"]["name"],
        "Ada King"
    );
    let (code, error) = site.fail(&["events", "latest", "person/2"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("no events of person/2 in the 1 source since"),
        "{error}"
    );
}
