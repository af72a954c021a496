//! Runs the real binary of the drain as Lambda does: its batch responses, and the log lines of the
//! messages that it leaves in the queue.

use models::{ParseError, Record, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use storage::{Key, Message, schema::MAX_CHUNK_BYTES};
use testkit::{
    deployment::Deployment,
    noise,
    proxy::Fault,
    runtime_api::{Answer, Function, binary},
    site::encoded,
};

fn record(body: Vec<u8>) -> Record {
    let delivery =
        models::Delivery::new(body, Timestamp::from_epoch(1_795_255_200).unwrap(), "r-1");
    Record::from_delivery("closer", &delivery, Err(ParseError::NoEvent))
        .pop()
        .unwrap()
}

/// The message of the last item of a record.
fn head(record: &Record) -> Message {
    Message::from_item(&encoded(record).pop().unwrap())
}

/// A batch of messages as Lambda passes it, with their numbers as ids.
fn batch(bodies: &[&str]) -> Value {
    let records = bodies.iter().enumerate().map(|(number, body)| {
        json!({
            "messageId": format!("m-{number}"), "receiptHandle": "h", "body": body, "attributes": {},
            "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// The ids of the messages that the drain reports as failed.
fn reported(answer: &Answer) -> Vec<String> {
    let Answer::Response(response) = answer else {
        panic!("{answer:?}")
    };
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
        .collect()
}

/// The hash of a key, as in a shell: `printf %s "$pk#$sk" | sha256sum | cut -c1-16`.
fn hash(key: &Key) -> String {
    let digest = Sha256::digest(format!("{}#{}", key.pk, key.sk));
    hex::encode(digest)[..16].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_left_in_the_queue_is_logged_with_its_cause() {
    let deployment = Deployment::start(providers::CLOSER).await;
    let mut function = Function::spawn(binary("drain"), &deployment.environment()).await;
    let small = record(b"small".to_vec());
    let large = record(noise(3 * MAX_CHUNK_BYTES));
    let small_message = head(&small);
    let large_message = head(&large);

    let answer = function
        .invoke(batch(&["garbage", large_message.text(), small_message.text()]).to_string())
        .await;
    assert_eq!(reported(&answer), ["m-0", "m-1"]);
    let large_key = hash(&Key::from_record(&large));
    let lines = [
        json!({ "message_id": "m-0", "cause": "not_a_message" }),
        json!({ "message_id": "m-1", "key": large_key, "cause": "chunk_missing" }),
        json!({ "drained": 1, "left": 2 }),
    ];
    assert_eq!(function.log(), lines);

    let mut before = lines.len();
    let small_key = hash(&Key::from_record(&small));
    for (fault, code) in [
        (Fault::Refused, "unreachable"),
        (Fault::InternalError, "http_500"),
        (Fault::Throttling, "Exception"),
    ] {
        deployment.table_proxy.set(fault).await;
        let answer = function
            .invoke(batch(&[small_message.text()]).to_string())
            .await;
        assert_eq!(reported(&answer), ["m-0"], "{fault:?}");
        let lines = function.log();
        let [line, total] = &lines[before..] else {
            panic!("{fault:?}: {lines:?}")
        };
        assert!(
            line["code"].as_str().unwrap().ends_with(code),
            "{fault:?}: {line}"
        );
        assert_eq!(
            (&line["message_id"], &line["key"], &line["cause"]),
            (&json!("m-0"), &json!(small_key), &json!("table")),
            "{fault:?}"
        );
        assert_eq!(total, &json!({ "drained": 0, "left": 1 }));
        before = lines.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_continues_when_the_log_cannot_be_written() {
    let deployment = Deployment::start(providers::CLOSER).await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut function =
        Function::spawn_printing_to(full, binary("drain"), &deployment.environment()).await;
    let small = head(&record(b"small".to_vec()));
    for _ in 0..2 {
        let answer = function
            .invoke(batch(&["garbage", small.text()]).to_string())
            .await;
        assert_eq!(reported(&answer), ["m-0"]);
    }
    assert!(function.is_alive());
}
