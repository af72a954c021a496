//! `hookkeeper republish`: stored events go to the event bus again, as the relay publishes them.

use crate::stack::{BUS, Stack};
use aws_sdk_dynamodb::types::AttributeValue;
use models::{Event, Record};
use providers::CLOSER;
use serde_json::{Value, json, value::RawValue};
use std::process::Output;
use storage::{Key, budget::now, schema::stamp};
use testkit::{
    event_bridge::{Entry, EventBridge, Fate},
    noise_text,
    proxy::{Fault, Proxy},
    request::event,
    site::{Site, altered, encoded, records},
};

/// A table with events, a stack, and its bus.
struct Setup {
    site: Site,
    stack: Stack,
    bridge: EventBridge,
    proxy: Proxy,
}

impl Setup {
    async fn start(records: &[Record]) -> Self {
        Self::start_with(records, |_, _| Fate::Taken).await
    }

    async fn start_with(
        records: &[Record],
        decide: impl Fn(&Entry, usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let site = Site::start().await;
        site.put(records, None).await;
        let bridge = EventBridge::start_with(decide).await;
        let proxy = Proxy::start(&bridge.endpoint());
        Self {
            stack: Stack::with_bus(&proxy.endpoint()).await,
            site,
            bridge,
            proxy,
        }
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let arguments = [&["republish"], arguments].concat();
        self.stack.output(&self.site, &arguments)
    }

    /// The exit status, the lines of standard output, and standard error.
    fn run(&self, arguments: &[&str]) -> (i32, Vec<String>, String) {
        let output = self.output(arguments);
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let lines = stdout.lines().map(str::to_owned).collect();
        (output.status.code().unwrap(), lines, stderr)
    }

    fn push_dead_letter(&self, record: &Record) {
        let Key { pk, sk } = Key::from_record(record);
        let letter = json!({ "pk": pk, "sk": sk, "id": "x", "reason": "refused", "code": "X" });
        self.stack.push("relay-dead", &letter.to_string());
    }
}

/// An event of the subject `deal/<number>`.
fn record(number: u32, data: Option<&str>) -> Record {
    let first = records(&CLOSER, &event("closer", number));
    altered(&first[0], |event| {
        event.subject = format!("deal/{number}");
        if let Some(data) = data {
            event.data = RawValue::from_string(data.to_owned()).unwrap();
        }
    })
}

fn cloud_event(record: &Record) -> &Event {
    let Record::Event { event, .. } = record else {
        panic!("{record:?}")
    };
    event
}

fn numbered(count: u32) -> Vec<Record> {
    (0..count).map(|number| record(number, None)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_events_are_published_as_the_relay_publishes_them() {
    let text = |length| format!("[1.10,\"{}\"]", noise_text(length));
    let mut stored = numbered(23);
    stored.push(record(23, Some(&text(100_000))));
    let chunked = record(24, Some(&text(1_500_000)));
    assert!(encoded(&chunked).len() > 1);
    stored.push(chunked);
    let setup = Setup::start(&stored).await;

    let dry = setup.run(&["--dry-run"]);
    let counts = "25 events published (1 of them without data), 0 refused";
    let dry_run = format!("{counts} (dry run: nothing was published).");
    assert_eq!(dry, (0, vec![dry_run], String::new()));
    assert_eq!(setup.bridge.calls(), [] as [usize; 0]);

    let (status, lines, stderr) = setup.run(&[]);
    assert_eq!((status, lines), (0, vec![format!("{counts}.")]), "{stderr}");
    let taken = setup.bridge.taken();
    for (entry, record) in taken.iter().zip(&stored) {
        let event = cloud_event(record);
        assert_eq!(
            (&*entry.event_bus_name, &entry.source),
            (BUS, &event.source)
        );
        if event.subject == "deal/24" {
            assert!(
                entry
                    .detail
                    .contains("\"dataref\":\"dynamodb:///hookkeeper/closer%23deal%2F24/")
            );
        } else {
            assert_eq!(entry.detail, serde_json::to_string(event).unwrap());
        }
    }
    assert_eq!((taken.len(), setup.bridge.calls()), (25, vec![10, 10, 5]));

    let (_, lines, _) = setup.run(&["--subject", "deal/7", "--output", "json"]);
    let counts: Value = serde_json::from_str(&lines[0]).unwrap();
    let expected = json!({ "published": 1, "without_data": 0, "refused": 0, "kept": 0 });
    assert_eq!(counts, expected);
    assert_eq!(setup.bridge.taken()[25].subject(), "deal/7");
    let (_, lines, _) = setup.run(&["--until", "1h", "--since", "2h"]);
    assert_eq!(
        lines,
        ["0 events published (0 of them without data), 0 refused."]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_are_listed_and_the_others_are_published() {
    let setup = Setup::start_with(&numbered(12), |entry, _| match &*entry.subject() {
        "deal/3" => Fate::Failed("MalformedDetail"),
        "deal/5" => Fate::CallFailed("ValidationException"),
        _ => Fate::Taken,
    })
    .await;
    let (status, lines, stderr) = setup.run(&[]);
    assert_eq!(status, 1);
    assert_eq!(stderr, "error: the event bus refuses 2 events\n");
    assert!(
        lines[0].ends_with("  refused: MalformedDetail"),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with("  refused: ValidationException"),
        "{lines:?}"
    );
    assert_eq!(
        lines[2],
        "10 events published (0 of them without data), 2 refused."
    );
    let (handle, _) = lines[0].split_once(' ').unwrap();
    let shown = setup.site.run(&["events", "show", handle]);
    assert!(shown.contains("deal/3"), "{shown}");
    assert_eq!(setup.bridge.taken().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_says_where_to_continue() {
    let setup = Setup::start(&numbered(25)).await;
    setup.proxy.set_after(2, Fault::InternalError).await;
    let (status, _, stderr) = setup.run(&[]);
    assert_eq!(status, 1);
    let (why, advice) = stderr.trim().split_once(": run it again with ").unwrap();
    let since = advice.strip_prefix("--since ").unwrap();
    let since = since.strip_suffix(" instead").unwrap();
    let published = "20 events were published before";
    assert_eq!(
        why,
        format!("error: the event bus refused the request (http_500); {published}")
    );
    setup.proxy.set(Fault::None).await;
    let (status, ..) = setup.run(&["--since", since]);
    assert_eq!(status, 0);
    let subjects: Vec<_> = setup.bridge.taken().iter().map(Entry::subject).collect();
    let expected: Vec<_> = (0..25).map(|number| format!("deal/{number}")).collect();
    assert_eq!(subjects, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_deleted_when_their_events_are_published() {
    let stored = numbered(5);
    let setup = Setup::start_with(&stored[..4], |entry, _| match &*entry.subject() {
        "deal/2" => Fate::Failed("MalformedDetail"),
        _ => Fate::Taken,
    })
    .await;
    let mut newer = encoded(&record(5, None)).pop().unwrap();
    stamp(&mut newer, now());
    newer.insert("v".to_owned(), AttributeValue::N("2".to_owned()));
    setup.site.put_item(newer).await;
    for record in stored.iter().chain([&record(5, None)]) {
        setup.push_dead_letter(record);
    }
    setup.stack.push("relay-dead", "somebody else's");
    let no_key = json!({ "pk": "", "sk": "", "id": "", "reason": "malformed" });
    setup.stack.push("relay-dead", &no_key.to_string());
    let before = setup.stack.messages("relay-dead");

    setup.proxy.set(Fault::InternalError).await;
    let (_, _, stderr) = setup.run(&["--dead-letters"]);
    assert!(
        stderr.ends_with("were published before: run this again\n"),
        "{stderr}"
    );
    setup.proxy.set(Fault::None).await;
    assert_eq!(setup.stack.messages("relay-dead"), before);

    let (status, lines, _) = setup.run(&["--dead-letters", "--dry-run"]);
    assert_eq!((status, lines.len()), (1, 5), "{lines:?}");
    assert_eq!(setup.bridge.calls(), [] as [usize; 0]);
    assert_eq!(setup.stack.messages("relay-dead"), before);

    let (status, lines, stderr) = setup.run(&["--dead-letters"]);
    assert_eq!(status, 1, "{stderr}");
    assert!(
        lines[0].ends_with("  refused: MalformedDetail"),
        "{lines:?}"
    );
    let kept = [
        "closer#deal/4  kept: its event is not in the table any more",
        "closer#deal/5  kept: the item cannot be read: the item is of another version of Hookkeeper, or of other software",
        "a message  kept: it is not one of the relay or of Lambda",
        "a message  kept: it has no key of an item",
        "3 events published (0 of them without data), 1 refused.",
    ];
    assert_eq!(lines[1..], kept);
    let subjects: Vec<_> = setup.bridge.taken().iter().map(Entry::subject).collect();
    assert_eq!(subjects, ["deal/0", "deal/1", "deal/3"]);
    let rest = [2, 4, 5, 6, 7].map(|index: usize| before[index].clone());
    assert_eq!(setup.stack.messages("relay-dead"), rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_lambda_gave_up_is_published_by_its_times() {
    let setup = Setup::start_with(&numbered(3), |entry, tries| match &*entry.subject() {
        "deal/1" if tries < 2 => Fate::Failed("MalformedDetail"),
        _ => Fate::Taken,
    })
    .await;
    let time = now().to_string();
    let message = json!({
        "requestContext": { "condition": "MaxRecordAgeExceeded" },
        "DDBStreamBatchInfo": {
            "shardId": "s", "batchSize": 3,
            "approximateArrivalOfFirstRecord": time, "approximateArrivalOfLastRecord": time,
        },
    });
    setup.stack.push("relay-dead", &message.to_string());
    assert_eq!(setup.run(&["--dead-letters"]).0, 1);
    assert_eq!(setup.stack.messages("relay-dead").len(), 1);
    let mut newer = encoded(&record(7, None)).pop().unwrap();
    stamp(&mut newer, now());
    newer.insert("v".to_owned(), AttributeValue::N("2".to_owned()));
    let key = Key::from_record(&record(7, None));
    setup.site.put_item(newer).await;
    let (status, lines, _) = setup.run(&["--dead-letters"]);
    assert_eq!(status, 1);
    assert!(
        lines[0].ends_with("1 of its events cannot be read by this version"),
        "{lines:?}"
    );
    assert_eq!(setup.stack.messages("relay-dead").len(), 1);
    setup.site.table.remove(&key).await.unwrap();
    assert_eq!(setup.run(&["--dead-letters"]).0, 0);
    assert_eq!(setup.stack.messages("relay-dead").len(), 0);
    assert_eq!(setup.bridge.taken().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_the_error_says_what_to_do() {
    let site = Site::start().await;
    let (code, error) = site.fail(&["republish"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("only a stack has an event bus: leave out --local and --table"),
        "{error}"
    );
    let output = Stack::start().await.output(&site, &["republish"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        error,
        "error: the stack has no event bus: deploy it with EventBus=create\n"
    );
    let setup = Setup::start(&[]).await;
    let (code, _, error) = setup.run(&["--dead-letters", "--since", "2h"]);
    assert_eq!(code, 2, "{error}");
}
