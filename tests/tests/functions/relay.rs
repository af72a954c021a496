//! Runs the real binary of the relay as Lambda does, with batches of the table's stream, against a
//! fake `PutEvents`, and a fake dead-letter queue.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use flate2::{Compression, write::ZlibEncoder};
use models::{Delivery, Event, ParseError, Record, Timestamp};
use providers::CLOSER;
use serde_json::{Value, json, value::RawValue};
use std::{
    io::Write,
    time::{Duration, Instant},
};
use storage::{
    Erased,
    schema::{Item, MAX_CHUNK_BYTES, erasure},
};
use testkit::{
    deployment::delivery,
    event_bridge::{Entry, EventBridge, Fate},
    noise_text,
    proxy::{Fault, Proxy},
    request::event,
    runtime_api::{Answer, Environment, Function, binary},
    site::{ARRIVAL, altered, encoded, records},
    sqs::Sqs,
    stream::{batch, batch_of, change, sequence_number},
};

const BUS: &str = "crm";
const MARKER: &str = "xyzzymarker";

/// The relay between a stream and a bus.
struct Setup {
    function: Function,
    bridge: EventBridge,
    bus_proxy: Proxy,
    queue: Sqs,
    queue_proxy: Proxy,
}

impl Setup {
    async fn start() -> Self {
        Self::start_with(|_, _| Fate::Taken).await
    }

    /// Starts the relay with a bus whose results `decide` returns.
    async fn start_with(decide: impl Fn(&Entry, usize) -> Fate + Send + Sync + 'static) -> Self {
        let bridge = EventBridge::start_with(decide).await;
        let bus_proxy = Proxy::start(&bridge.endpoint());
        let queue = Sqs::start().await;
        let queue_proxy = Proxy::start(&queue.endpoint());
        let environment = environment(&bus_proxy.endpoint(), &queue_proxy.endpoint());
        Self {
            function: Function::spawn(binary("relay"), &environment).await,
            bridge,
            bus_proxy,
            queue,
            queue_proxy,
        }
    }

    /// Passes a batch, and returns the sequence number from which Lambda is to continue.
    async fn relay(&mut self, batch: String) -> Option<String> {
        not_done(&self.function.invoke(batch).await)
    }

    /// The messages in the dead-letter queue.
    fn dead_letters(&self) -> Vec<Value> {
        let messages = self.queue.messages().into_iter();
        messages
            .map(|message| serde_json::from_str(&message.body).unwrap())
            .collect()
    }

    /// The `subject` of each event that the bus took, in order.
    fn subjects(&self) -> Vec<String> {
        let taken = self.bridge.taken();
        taken.iter().map(Entry::subject).collect()
    }

    /// The last line of the log.
    fn last_line(&self) -> Value {
        self.function.log().pop().unwrap()
    }
}

/// The environment of the relay, whose table nobody answers for, with the most verbose logging.
fn environment(bus: &str, queue: &str) -> Environment {
    Environment::of("relay", "http://127.0.0.1:1")
        .with("AWS_ENDPOINT_URL_EVENTBRIDGE", bus)
        .with("AWS_ENDPOINT_URL_SQS", queue)
        .with("HOOKKEEPER_BUS", BUS)
        .with(
            "HOOKKEEPER_RELAY_DEAD_LETTER_QUEUE_URL",
            format!("{queue}/1/dead"),
        )
        .with("HOOKKEEPER_STACK", "crm-stack")
        .with("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .with("RUST_LOG", "trace")
}

/// The sequence number that a response reports, if any.
#[track_caller]
fn not_done(answer: &Answer) -> Option<String> {
    let Answer::Response(response) = answer else {
        panic!("{answer:?}")
    };
    let failures = response["batchItemFailures"].as_array().unwrap();
    assert!(failures.len() <= 1, "{response}");
    assert_eq!(response, &json!({ "batchItemFailures": failures }));
    let first = failures.first()?;
    Some(first["itemIdentifier"].as_str().unwrap().to_owned())
}

/// An event of the subject `deal/<number>`.
fn record(number: usize, alter: impl FnOnce(&mut Event)) -> Record {
    let first = records(&CLOSER, &event("closer", u32::try_from(number).unwrap()));
    altered(&first[0], |event| {
        event.subject = format!("deal/{number}");
        alter(event);
    })
}

/// The item of an event that fits into one.
fn item(number: usize, alter: impl FnOnce(&mut Event)) -> Item {
    let [item] = encoded(&record(number, alter)).try_into().unwrap();
    item
}

fn items(count: usize) -> Vec<Item> {
    (0..count).map(|number| item(number, |_| {})).collect()
}

fn with_data(json: &str) -> impl FnOnce(&mut Event) + use<> {
    let data = RawValue::from_string(json.to_owned()).unwrap();
    |event| event.data = data
}

/// `data` that does not compress below this size.
fn with_noise(bytes: usize) -> impl FnOnce(&mut Event) {
    with_data(&format!(r#"{{"noise":"{}"}}"#, noise_text(bytes)))
}

fn text(item: &Item, name: &str) -> String {
    item[name].as_s().unwrap().clone()
}

fn with(mut item: Item, name: &str, value: AttributeValue) -> Item {
    item.insert(name.to_owned(), value);
    item
}

fn dataref(item: &Item) -> String {
    let [pk, sk] = ["pk", "sk"].map(|name| text(item, name));
    let encode = |text: &str| {
        text.replace('/', "%2F")
            .replace('#', "%23")
            .replace(':', "%3A")
    };
    format!("dynamodb:///hookkeeper/{}/{}", encode(&pk), encode(&sk))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_new_events_are_published_each_as_a_cloud_event() {
    let mut setup = Setup::start().await;
    let mut all = Vec::new();
    let mut expected = Vec::new();
    for provider in providers::ALL {
        // Two events of one delivery share their body, which is an item of its own.
        let several = if provider.name == "amocrm" { 2 } else { 1 };
        for number in 0..3 {
            for record in records(&provider, &delivery(&provider, number, several)) {
                all.extend(encoded(&record));
                if let Record::Event { event, .. } = record {
                    expected.push(event);
                }
            }
        }
    }
    let arrival = Timestamp::parse(ARRIVAL).unwrap();
    let unreadable = Delivery::new(b"?".into(), arrival, "r");
    let quarantined = Record::from_delivery("closer", &unreadable, Err(ParseError::NoEvent));
    all.extend(encoded(&quarantined[0]));
    let large = encoded(&record(1, with_noise(3 * MAX_CHUNK_BYTES)));
    all.extend(large[..large.len() - 1].to_vec());
    all.push(with(item(2, |_| {}), "moved", AttributeValue::Bool(true)));
    let subject = Erased::Subject {
        source: None,
        subject: "deal/1",
    };
    all.push(erasure::encode(&subject, arrival));
    for kind in ["consumer", "guardian", "another"] {
        all.push(with(
            item(3, |_| {}),
            "kind",
            AttributeValue::S(kind.to_owned()),
        ));
    }
    let mut kinds: Vec<_> = all.iter().map(|item| text(item, "kind")).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 8, "{kinds:?}");

    let names = ["MODIFY", "REMOVE", "insert", "INSERT"];
    let changes = all
        .iter()
        .flat_map(|item| names.map(|name| change(name, 1, item)));
    let mut changes: Vec<_> = changes.collect();
    for change in &mut changes {
        if change["eventName"] == "REMOVE" {
            change["dynamodb"]
                .as_object_mut()
                .unwrap()
                .remove("NewImage");
        }
    }
    let skipped = changes.len() - expected.len();
    assert_eq!(setup.relay(batch_of(changes)).await, None);
    assert_eq!(setup.dead_letters(), [] as [Value; 0]);
    let taken = setup.bridge.taken();
    assert_eq!(taken.len(), expected.len());
    for (entry, event) in taken.iter().zip(&expected) {
        assert_eq!(entry.detail, serde_json::to_string(event).unwrap());
        assert_eq!(entry.event_bus_name, BUS);
        assert_eq!(
            (&entry.source, &entry.detail_type),
            (&event.source, &event.r#type)
        );
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is compared too"
        )]
        let micros = (entry.time * 1_000_000.0).round() as i64;
        assert_eq!(micros, event.time.as_micros());
    }
    let line = setup.last_line();
    assert_eq!(
        (
            &line["relayed"],
            &line["skipped"],
            &line["relay_dead_letters"]
        ),
        (&json!(expected.len()), &json!(skipped), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_item_goes_to_the_dead_letter_queue_by_key_and_the_batch_goes_on() {
    let mut setup = Setup::start().await;
    let good = items(8);
    let without = |name: &str| {
        let mut item = good[1].clone();
        item.remove(name);
        item
    };
    let newer = with(good[1].clone(), "v", AttributeValue::N("2".to_owned()));
    let not_zlib = with(
        without("data"),
        "compressed",
        AttributeValue::B(Blob::new(MARKER)),
    );
    let not_json = with(
        good[1].clone(),
        "data",
        AttributeValue::S(MARKER.to_owned()),
    );
    let mut no_image = change("INSERT", 6, &good[1]);
    no_image["dynamodb"]
        .as_object_mut()
        .unwrap()
        .remove("NewImage");
    let mut no_item = change("INSERT", 7, &good[1]);
    no_item["dynamodb"]["NewImage"]["data"] = json!({ "S": 1 });
    let changes = [
        change("INSERT", 0, &good[0]),
        change("INSERT", 1, &newer),
        change("INSERT", 2, &without("v")),
        change("INSERT", 3, &not_zlib),
        change("INSERT", 4, &not_json),
        change("INSERT", 5, &without("type")),
        no_image,
        no_item,
        json!(MARKER),
        json!({ "eventName": 1, "dynamodb": [] }),
        change("INSERT", 8, &good[7]),
    ];
    assert_eq!(setup.relay(batch_of(changes)).await, None);
    assert_eq!(setup.subjects(), ["deal/0", "deal/7"]);
    let [pk, sk, id] = ["pk", "sk", "id"].map(|name| text(&good[1], name));
    let reasons = ["other_version"; 2].into_iter().chain(["malformed"; 5]);
    let letters: Vec<_> = reasons
        .map(|reason| json!({ "pk": pk, "sk": sk, "id": id, "reason": reason, "code": null }))
        .collect();
    assert_eq!(setup.dead_letters(), letters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_ten_entries_and_a_megabyte_at_most() {
    let mut setup = Setup::start().await;
    let of_size =
        |bytes: usize| move |number| item(number, with_data(&format!("\"{}\"", " ".repeat(bytes))));
    let large: Vec<_> = (0..25).map(of_size(90_000)).collect();
    assert_eq!(setup.relay(batch(&large)).await, None);
    assert_eq!(setup.bridge.calls(), [10, 10, 5]);
    let larger: Vec<_> = (25..35).map(of_size(245_000)).collect();
    assert_eq!(setup.relay(batch(&larger)).await, None);
    assert_eq!(setup.bridge.calls(), [10, 10, 5, 4, 4, 2]);
    let subjects: Vec<_> = (0..35).map(|number| format!("deal/{number}")).collect();
    assert_eq!(setup.subjects(), subjects);
    assert!(
        setup
            .bridge
            .taken()
            .iter()
            .all(|entry| entry.detail.len() > 90_000)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_twice_is_published_by_the_third_attempt() {
    let is_third = |entry: &Entry| entry.subject() == "deal/3";
    let mut setup = Setup::start_with(move |entry, tries| match tries {
        0 if is_third(entry) => Fate::Failed("ThrottlingException"),
        1 if is_third(entry) => Fate::Failed("InternalFailure"),
        _ => Fate::Taken,
    })
    .await;
    assert_eq!(setup.relay(batch(&items(6))).await, None);
    assert_eq!(setup.bridge.calls(), [6, 1, 1]);
    assert_eq!(setup.subjects().len(), 6);
    assert_eq!(setup.dead_letters(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lambda_continues_at_the_first_event_that_the_bus_does_not_take() {
    let mut setup = Setup::start_with(|entry, _| match entry.subject().as_str() {
        "deal/13" | "deal/17" => Fate::Failed("InternalException"),
        _ => Fate::Taken,
    })
    .await;
    let not_done = setup.relay(batch(&items(30))).await;
    assert_eq!(not_done, Some(sequence_number(13)));
    // No later call is made: Lambda passes its events again.
    assert_eq!(setup.subjects().len(), 18);
    assert_eq!(setup.last_line()["failure"], "InternalException");
    assert_eq!(setup.dead_letters(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_goes_without_data_and_then_to_the_dead_letter_queue() {
    let mut setup = Setup::start_with(|entry, _| {
        let json = entry.json();
        match entry.subject().as_str() {
            "deal/1" if json.get("data").is_some() => Fate::Failed("MalformedDetail"),
            "deal/2" => Fate::Failed("NotAuthorizedForSourceException"),
            // The whole call, until the event is alone and without its data.
            "deal/3" if json.get("data").is_some() => Fate::CallFailed("ValidationException"),
            "deal/4" => Fate::CallFailed("ValidationException"),
            _ => Fate::Taken,
        }
    })
    .await;
    let items = items(12);
    assert_eq!(setup.relay(batch(&items)).await, None);
    let mut subjects = setup.subjects();
    subjects.sort();
    let mut published: Vec<_> = items.iter().map(|item| text(item, "subject")).collect();
    published.retain(|subject| subject != "deal/2" && subject != "deal/4");
    published.sort();
    assert_eq!(subjects, published);
    for entry in setup.bridge.taken() {
        let mut json = entry.json();
        let number: usize = entry.subject()["deal/".len()..].parse().unwrap();
        let item = &items[number];
        let [has_data, has_reference] = ["data", "dataref"].map(|name| json.get(name).is_some());
        let is_refused = number == 1 || number == 3;
        assert_eq!(
            (has_data, has_reference),
            (!is_refused, is_refused),
            "{json}"
        );
        if is_refused {
            assert_eq!(json["dataref"], dataref(item));
            let members = json.as_object_mut().unwrap();
            members.remove("dataref");
            members.insert(
                "data".to_owned(),
                serde_json::from_str(&text(item, "data")).unwrap(),
            );
            let Record::Event { event, .. } = record(number, |_| {}) else {
                panic!()
            };
            assert_eq!(json, serde_json::to_value(event).unwrap());
        }
    }
    let letters = [
        (2, "NotAuthorizedForSourceException"),
        (4, "ValidationException"),
    ];
    let letters = letters.map(|(number, code)| {
        let [pk, sk, id] = ["pk", "sk", "id"].map(|name| text(&items[number], name));
        json!({ "pk": pk, "sk": sk, "id": id, "reason": "refused", "code": code })
    });
    assert_eq!(setup.dead_letters(), letters);
    let line = setup.last_line();
    assert_eq!(
        line["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["stack"]])
    );
    assert_eq!(
        (
            &line["stack"],
            &line["relayed"],
            &line["without_data"],
            &line["relay_dead_letters"]
        ),
        (&json!("crm-stack"), &json!(10), &json!(2), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_refused_before_an_outage_is_not_given_up() {
    for of_entry in ["InternalFailure", "AccessDeniedException"] {
        let mut setup =
            Setup::start_with(
                move |entry, tries| match (entry.subject().as_str(), tries) {
                    ("deal/0", _) if entry.json().get("data").is_some() => {
                        Fate::Failed("MalformedDetail")
                    }
                    ("deal/1", 0) => Fate::Failed(of_entry),
                    ("deal/1", 1..=5) => Fate::CallFailed("InternalException"),
                    _ => Fate::Taken,
                },
            )
            .await;
        let items = items(3);
        let first = setup.relay(batch(&items)).await;
        assert!(first.is_some(), "{of_entry}");
        assert_eq!(setup.dead_letters(), [] as [Value; 0], "{of_entry}");
        for _ in 0..3 {
            if setup.relay(batch(&items)).await.is_none() {
                break;
            }
        }
        let mut subjects = setup.subjects();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects, ["deal/0", "deal/1", "deal/2"], "{of_entry}");
        assert_eq!(setup.dead_letters(), [] as [Value; 0], "{of_entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_and_is_then_refused_is_tried_without_its_data() {
    let mut setup = Setup::start_with(|entry, tries| {
        let has_data = entry.json().get("data").is_some();
        match entry.subject().as_str() {
            "deal/1" if tries < 3 => Fate::Failed("InternalFailure"),
            "deal/0" | "deal/1" if has_data => Fate::Failed("MalformedDetail"),
            _ => Fate::Taken,
        }
    })
    .await;
    assert_eq!(setup.relay(batch(&items(2))).await, None);
    let taken = setup.bridge.taken();
    let taken = taken.iter().map(|entry| (entry.subject(), entry.json()));
    let taken: Vec<_> = taken
        .map(|(subject, json)| (subject, json.get("dataref").is_some()))
        .collect();
    let expected = ["deal/0", "deal/1"].map(|subject| (subject.to_owned(), true));
    assert_eq!(taken, expected);
    assert_eq!(setup.dead_letters(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_sources_and_types_are_cut_between_characters() {
    let mut setup = Setup::start().await;
    let (source, kind) = (
        format!("a{}", "é".repeat(200)),
        format!("{}!", "ж".repeat(100)),
    );
    let long = item(1, |event| {
        event.source.clone_from(&source);
        event.r#type.clone_from(&kind);
    });
    assert_eq!(setup.relay(batch(&[long])).await, None);
    let taken = setup.bridge.taken();
    assert_eq!(taken[0].source, format!("a{}", "é".repeat(127)));
    assert_eq!(taken[0].detail_type, "ж".repeat(64));
    let json = taken[0].json();
    assert_eq!(
        (&json["source"], &json["type"]),
        (&json!(source), &json!(kind))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_passed_token_for_token() {
    let mut setup = Setup::start().await;
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let texts = [
        r#"{"b":18446744073709551617,"a":-9223372036854775809,"b":1.10,"c":1e400}"#,
        r#"{"lone":"\ud83d","pair":"\ud83d\ude00","nul":"\u0000","slash":"\/"}"#,
        "{ \"x\" :\t[ 1 ,\r\n 2 ] }",
        &deep,
        "null",
    ];
    let items: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| item(number, with_data(text)))
        .collect();
    assert_eq!(setup.relay(batch(&items)).await, None);
    let taken = setup.bridge.taken();
    assert_eq!(taken.len(), texts.len());
    for (entry, text) in taken.iter().zip(texts) {
        let (_, data) = entry.detail.split_once(r#","data":"#).unwrap();
        assert_eq!(data, format!("{text}}}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_event_goes_with_a_reference_to_its_item() {
    let mut setup = Setup::start().await;
    let chunked = encoded(&record(0, with_noise(3 * MAX_CHUNK_BYTES)))
        .pop()
        .unwrap();
    assert!(chunked.contains_key("chunkhash"));
    let compressed = item(1, with_noise(260_000));
    assert!(compressed.contains_key("compressed"));
    let plain = with(
        item(2, |_| {}),
        "data",
        AttributeValue::S(format!("\"{}\"", " ".repeat(251_000))),
    );
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    for _ in 0..380 {
        zlib.write_all(&vec![b' '; 1_000_000]).unwrap();
    }
    let bomb = zlib.finish().unwrap();
    assert!(bomb.len() < 400_000);
    let mut bombed = item(3, |_| {});
    bombed.remove("data");
    let bombed = with(bombed, "compressed", AttributeValue::B(Blob::new(bomb)));
    let items = [chunked, compressed, plain, bombed];
    assert_eq!(setup.relay(batch(&items)).await, None);
    let taken = setup.bridge.taken();
    assert_eq!(taken.len(), items.len());
    for (entry, item) in taken.iter().zip(&items) {
        let json = entry.json();
        assert_eq!(
            (json.get("data"), &json["dataref"]),
            (None, &json!(dataref(item)))
        );
    }
    assert_eq!(setup.last_line()["without_data"], 4);
    let peak = setup.function.peak_memory();
    assert!(peak < 40_000_000, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_fails_the_batch_and_loses_nothing() {
    let mut setup = Setup::start().await;
    let items = items(12);
    for (fault, failure) in [
        (Fault::InternalError, "http_500"),
        (Fault::Throttling, "ThrottlingException"),
        (Fault::Refused, "unreachable"),
        (Fault::ResetBefore, "unreachable"),
        (Fault::NotJson, "bad_answer"),
    ] {
        setup.bus_proxy.set(fault).await;
        let started = Instant::now();
        let not_done = setup.relay(batch(&items)).await;
        println!(
            "| {fault:?} | `{failure}` | {} ms |",
            started.elapsed().as_millis()
        );
        assert_eq!(not_done, Some(sequence_number(0)), "{fault:?}");
        assert_eq!(setup.last_line()["failure"], failure, "{fault:?}");
    }
    setup.bus_proxy.set(Fault::None).await;
    assert_eq!(setup.relay(batch(&items)).await, None);
    // `NotJson` passes the call on.
    assert!(setup.subjects().len() >= 12);
    assert_eq!(setup.dead_letters(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_invocations_of_503_leave_the_eleventh_its_retries() {
    for code in [
        "ServiceUnavailable",
        "AccessDeniedException",
        "ResourceNotFoundException",
    ] {
        let mut setup = Setup::start_with(move |_, tries| match tries {
            0..=30 => Fate::CallFailed(code),
            _ => Fate::Taken,
        })
        .await;
        let items = items(3);
        let mut invocations = 0;
        while setup.relay(batch(&items)).await == Some(sequence_number(0)) {
            invocations += 1;
            assert_eq!(setup.last_line()["failure"], code);
        }
        assert!(invocations >= 10, "{invocations}");
        assert_eq!(setup.subjects().len(), 3);
        assert_eq!(setup.dead_letters(), [] as [Value; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_hangs_ends_the_invocation_five_seconds_before_its_deadline() {
    let mut setup = Setup::start().await;
    setup.bus_proxy.set_after(1, Fault::Hang).await;
    let started = Instant::now();
    let batch = batch(&items(25));
    let answer = setup
        .function
        .invoke_within(Duration::from_secs(7), batch)
        .await;
    let elapsed = started.elapsed();
    assert_eq!(not_done(&answer), Some(sequence_number(10)));
    assert!((1..5).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert_eq!(setup.subjects().len(), 10);
    assert_eq!(setup.last_line()["failure"], "timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_the_queue_does_not_take_is_not_lost() {
    let mut setup = Setup::start_with(|entry, _| match entry.subject().as_str() {
        "deal/2" => Fate::Failed("MalformedDetail"),
        _ => Fate::Taken,
    })
    .await;
    let mut items = items(6);
    items[4].insert("v".to_owned(), AttributeValue::N("7".to_owned()));
    for fault in [Fault::InternalError, Fault::Refused] {
        setup.queue_proxy.set(fault).await;
        let not_done = setup.relay(batch(&items)).await;
        assert_eq!(not_done, Some(sequence_number(2)), "{fault:?}");
    }
    let rest = [items[3].clone(), items[4].clone(), items[5].clone()];
    assert_eq!(setup.relay(batch(&rest)).await, Some(sequence_number(1)));
    setup.queue_proxy.set(Fault::None).await;
    assert_eq!(setup.relay(batch(&items)).await, None);
    let reasons: Vec<_> = setup
        .dead_letters()
        .iter()
        .map(|letter| letter["reason"].clone())
        .collect();
    assert_eq!(reasons, ["refused", "other_version"]);
    assert!(setup.subjects().contains(&"deal/5".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_has_only_characters_that_sqs_takes() {
    let mut setup = Setup::start().await;
    let subject = "deal/\u{ffff}\u{1}é😀";
    let newer = with(
        item(1, |event| subject.clone_into(&mut event.subject)),
        "v",
        AttributeValue::N("2".to_owned()),
    );
    assert_eq!(setup.relay(batch(&[newer])).await, None);
    assert_eq!(setup.dead_letters()[0]["pk"], format!("closer#{subject}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_no_stream_event_is_an_error_and_not_the_end() {
    let mut setup = Setup::start().await;
    for payload in [
        MARKER,
        "{}",
        "[]",
        "null",
        "1",
        r#"{"Records":1}"#,
        r#"{"Records":["#,
        "\u{0}",
    ] {
        let answer = setup.function.invoke(payload.to_owned()).await;
        assert!(matches!(answer, Answer::Error(_)), "{payload}: {answer:?}");
    }
    assert_eq!(setup.relay(batch_of([])).await, None);
    assert_eq!(setup.relay(batch(&items(1))).await, None);
    assert_eq!(setup.subjects().len(), 1);
    assert_silent(&setup.function);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payload_is_logged() {
    let mut setup = Setup::start_with(|entry, _| match entry.subject().as_str() {
        "deal/1" => Fate::Failed("MalformedDetail"),
        "deal/2" => Fate::Failed(MARKER_CODE),
        "deal/3" => Fate::CallFailed("ValidationException"),
        "deal/4" => Fate::Failed("InternalFailure"),
        _ => Fate::Taken,
    })
    .await;
    let data = format!(r#"{{"{MARKER}":"{MARKER}"}}"#);
    let marked: Vec<_> = (0..5)
        .map(|number| item(number, with_data(&data)))
        .collect();
    let broken = with(
        marked[0].clone(),
        "data",
        AttributeValue::S(MARKER.to_owned()),
    );
    let image = json!({ "S": MARKER, MARKER: MARKER });
    let mut no_item = change("INSERT", 1, &marked[0]);
    no_item["dynamodb"]["NewImage"][MARKER] = image;
    let changes = [change("INSERT", 0, &broken), no_item];
    assert_eq!(setup.relay(batch_of(changes)).await, None);
    assert_eq!(setup.relay(batch(&marked)).await, Some(sequence_number(4)));
    setup.bus_proxy.set(Fault::InternalError).await;
    setup.relay(batch(&marked)).await;
    assert_eq!(setup.dead_letters().len(), 5);
    assert!(!format!("{:?}", setup.dead_letters()).contains(MARKER));
    assert_silent(&setup.function);
}

/// Not an error code of AWS: it quotes the event.
const MARKER_CODE: &str = "xyzzymarker is invalid";

#[track_caller]
fn assert_silent(function: &Function) {
    for output in [
        function.stdout(),
        function.stderr(),
        function.posts().concat(),
    ] {
        assert!(!output.contains(MARKER), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_its_settings_says_what_to_set() {
    for name in [
        "HOOKKEEPER_BUS",
        "HOOKKEEPER_RELAY_DEAD_LETTER_QUEUE_URL",
        "HOOKKEEPER_TABLE",
    ] {
        let environment = environment("http://127.0.0.1:1", "http://127.0.0.1:1").without(name);
        let mut function = Function::spawn(binary("relay"), &environment).await;
        assert_eq!(function.ended().await.code(), Some(1));
        let sentence = format!("relay cannot start: the environment variable {name} is not set\n");
        assert_eq!(function.stderr(), sentence);
    }
}
