//! The stored form during an update, when receivers and the drain are of two versions; with clocks
//! that differ; and of deliveries of which only some items can be parsed.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use models::{Delivery, Event, ParseError, Record, Timestamp};
use providers::AMOCRM;
use serde_json::{Value, json};
use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::{Key, Message, Stored, schema::Item};
use testkit::{
    deployment::Deployment,
    request::{Request, event},
    runtime_api::{Answer, Function, binary},
    site::{ARRIVAL, Site, altered, encoded, records},
};

fn closer_event(number: u32) -> Record {
    records(&providers::CLOSER, &event("closer", number)).remove(0)
}

/// The JSON of a message: `{"v":1,"item":{...},"after":[]}`.
fn envelope(record: &Record) -> Value {
    let message = Message::from_item(&encoded(record).pop().unwrap());
    let zlib = STANDARD.decode(message.text()).unwrap();
    serde_json::from_reader(flate2::read::ZlibDecoder::new(&*zlib)).unwrap()
}

fn message(envelope: &Value) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(envelope.to_string().as_bytes()).unwrap();
    STANDARD.encode(zlib.finish().unwrap())
}

fn batch(body: &str, attributes: &Value) -> String {
    let record = json!({
        "messageId": "m", "receiptHandle": "h", "body": body, "attributes": attributes,
        "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
    });
    json!({ "Records": [record] }).to_string()
}

fn failures(answer: &Answer) -> usize {
    let Answer::Response(response) = answer else {
        panic!("{answer:?}")
    };
    response["batchItemFailures"].as_array().unwrap().len()
}

fn now() -> Timestamp {
    Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

fn later(seconds: u64) -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(seconds)
}

/// The only event of a table.
async fn only(deployment: &Deployment) -> Stored {
    let records = deployment.site.table.records().await.unwrap();
    let [record] = &records[..] else {
        panic!("{records:?}")
    };
    let stored = deployment.site.table.get(&Key::from_record(record)).await;
    stored.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_leaves_what_a_newer_receiver_sent() {
    let deployment = Deployment::start(providers::CLOSER).await;
    let mut drain = Function::spawn(binary("drain"), &deployment.environment()).await;
    let known = envelope(&closer_event(1));
    let changes = [
        ("/v", json!(2)),
        ("/item/v", json!({ "N": "2" })),
        ("/item/kind", json!({ "S": "later" })),
    ];
    for (place, value) in changes {
        let mut newer = known.clone();
        *newer.pointer_mut(place).unwrap() = value;
        let answer = drain.invoke(batch(&message(&newer), &json!({}))).await;
        assert_eq!(failures(&answer), 1, "{place}");
        let log = drain.stdout();
        let cause = log.lines().rev().nth(1).unwrap();
        assert!(
            cause.contains(r#""cause":"other_version""#),
            "{place}: {cause}"
        );
        assert!(
            deployment.site.table.records().await.unwrap().is_empty(),
            "{place}"
        );
    }
    let mut larger = known;
    larger["later"] = json!("an unknown member");
    larger["item"]["later"] = json!({ "S": "an unknown attribute" });
    let answer = drain.invoke(batch(&message(&larger), &json!({}))).await;
    assert_eq!(failures(&answer), 0);
    only(&deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_records_events_at_the_latest_time_that_it_knows() {
    for (attributes, seconds) in [
        (json!({}), 0),
        (
            json!({ "SentTimestamp": later(0).as_millis().to_string() }),
            0,
        ),
        (
            json!({ "SentTimestamp": later(20).as_millis().to_string() }),
            20,
        ),
        (
            json!({
                "SentTimestamp": "1000000000000",
                "ApproximateFirstReceiveTimestamp": later(40).as_millis().to_string(),
            }),
            40,
        ),
    ] {
        let deployment = Deployment::start(providers::CLOSER).await;
        let mut drain = Function::spawn(binary("drain"), &deployment.environment()).await;
        let message = message(&envelope(&closer_event(1)));
        assert_eq!(
            failures(&drain.invoke(batch(&message, &attributes)).await),
            0
        );
        let recorded = only(&deployment).await.recorded.unwrap();
        let ahead = recorded.as_seconds() - now().as_seconds();
        assert!((ahead - seconds).abs() < 4, "{attributes}: {ahead} s ahead");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_records_events_no_earlier_than_they_arrived() {
    let deployment = Deployment::start(providers::CLOSER).await;
    let arrival = u64::try_from(later(20).as_millis()).unwrap();
    let request = Request::post("closer", &event("closer", 1))
        .with("/requestContext/timeEpoch", json!(arrival));
    let mut receiver = Function::spawn(binary("closer"), &deployment.environment()).await;
    assert_eq!(receiver.invoke(request).await.status(), 200);
    let recorded = only(&deployment).await.recorded.unwrap();
    assert_eq!(
        Some(recorded),
        Timestamp::from_epoch(i64::try_from(arrival).unwrap())
    );
}

/// An item as it is stored.
async fn item(site: &Site, key: &Key) -> Item {
    let get = site.client().get_item().table_name(hookkeeper::dev::TABLE);
    let get = get.set_key(Some(storage::schema::key_attributes(key)));
    get.send().await.unwrap().item.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_keeps_the_id_and_the_time_of_recording_and_marks_a_moved_event() {
    let change_type = |event: &mut Event| event.originaltype = "other".to_owned();
    let change_subject = |event: &mut Event| event.subject = "other/1".to_owned();
    let new = closer_event(1);
    for (old, is_moved) in [
        (altered(&new, change_type), false),
        (altered(&new, change_subject), true),
    ] {
        let site = Site::start().await;
        site.put(std::slice::from_ref(&old), None).await;
        let before = site.get(&Key::from_record(&old)).await.unwrap();
        let recorded = before.recorded.unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let _ = site.run(&["replay"]);
        let key = Key::from_record(&new);
        let after = site.get(&key).await.expect("the replayed event");
        assert_eq!(after.recorded, Some(recorded));
        let item = item(&site, &key).await;
        assert_eq!(item.contains_key("moved"), is_moved);
        let hour = item["hourshard"].as_s().unwrap();
        assert!(hour.starts_with(&recorded.hour()), "{hour}");
        let (Record::Event { event: new, .. }, Record::Event { event: stored, .. }) =
            (&new, &after.record)
        else {
            panic!()
        };
        assert_eq!(stored.id, new.id);
    }
}

const ONE_OF_THREE: &str = "leads[add][0][id]=1&leads[add][0][created_at]=1795293780&\
    leads[add][1][name]=no+id&leads[add][2][id]=3&leads[add][2][created_at]=1795293780";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_cannot_be_parsed_is_quarantined_by_itself() {
    let deployment = Deployment::start(AMOCRM).await;
    let mut receiver = Function::spawn(binary("amocrm"), &deployment.environment()).await;
    let request = Request::post("amocrm", ONE_OF_THREE);
    assert_eq!(receiver.invoke(request).await.status(), 200);
    let line: Value = serde_json::from_str(receiver.stdout().lines().last().unwrap()).unwrap();
    let of_line = ["verdict", "reason", "events", "quarantined"].map(|name| &line[name]);
    assert_eq!(
        of_line,
        [
            &json!("quarantined"),
            &json!("missing"),
            &json!(2),
            &json!(1)
        ]
    );
    let records = deployment.site.table.records().await.unwrap();
    let bodies: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Body { bytes, .. } => Some(&bytes[..]),
            _ => None,
        })
        .collect();
    assert_eq!(
        bodies,
        [ONE_OF_THREE.as_bytes()],
        "the bytes are stored once"
    );
    let indexes: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Quarantined { index, .. } => Some(*index),
            _ => None,
        })
        .collect();
    assert_eq!((records.len(), indexes), (4, vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_item_is_replayed_without_its_neighbours() {
    let site = Site::start().await;
    let body = ONE_OF_THREE.replace("[1][name]", "[1][created_at]=1795293780&leads[add][1][id]");
    let delivery = Delivery::new(
        body.into_bytes(),
        Timestamp::parse(ARRIVAL).unwrap(),
        "request",
    );
    let mut parsed = (AMOCRM.parse)(&delivery).unwrap();
    // As an older parser, which could parse neither of the first two items.
    for item in &mut parsed[..2] {
        *item = Err(ParseError::Panicked);
    }
    site.put(
        &Record::from_delivery("amocrm", &delivery, Ok(parsed)),
        None,
    )
    .await;
    let quarantined = site.run(&["quarantine", "--since", "2026-11-01"]);
    let handles: Vec<&str> = quarantined
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(handles.len(), 2, "{quarantined}");
    let _ = site.run(&["quarantine", "replay", "--since", "2026-11-01"]);
    let records = site.table.records().await.unwrap();
    let events = records.iter().filter(|record| record.is_event()).count();
    assert_eq!(
        (records.len(), events),
        (4, 3),
        "a body and three events: {records:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_request_with_a_wrong_credential_is_unauthorized() {
    let deployment = Deployment::start(AMOCRM).await;
    let mut receiver = Function::spawn(binary("amocrm"), &deployment.environment()).await;
    let empty = || Request::post("amocrm", "").unauthorized();
    for (request, status) in [
        (empty(), 200),
        (empty().query("other=1"), 200),
        (empty().query("key=wrong"), 401),
        (empty().query("key="), 401),
        (empty().authorization("Basic eA=="), 401),
        (empty().authorization(""), 401),
    ] {
        let shown = request.0.to_string();
        assert_eq!(receiver.invoke(request).await.status(), status, "{shown}");
    }
    assert!(deployment.site.table.records().await.unwrap().is_empty());
}
