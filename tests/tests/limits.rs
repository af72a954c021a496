//! Bodies below, at and above each limit, and bodies of every size that Lambda accepts.

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};
use models::{
    Body, Delivery, MAX_EVENTS, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, MAX_TYPE_BYTES, ParseError,
    Reason, Record, Timestamp, json,
};
use providers::Provider;
use std::{
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use storage::{
    Client, Key, Message, Policy, PutOutcome,
    schema::{Item, MAX_CHUNK_BYTES, expiry},
};
use testkit::{
    deployment::{Deployment, delivery},
    exact::exact_bytes,
    noise_text,
    proxy::Fault,
    request::{Request, event},
    runtime_api::{Function, binary},
    site::encoded,
};
use tokio::sync::Mutex;

/// Held by the tests that measure time.
static ALONE: Mutex<()> = Mutex::const_new(());

const MEGABYTE: usize = 1_000_000;

/// Text of words.
fn prose(length: usize) -> String {
    "Call back on Monday. ".repeat(length / 21 + 1)[..length].to_owned()
}

/// The body of one event with a text in it.
fn with_text(provider: &str, text: &str) -> String {
    let body = event(provider, 1);
    match body.strip_suffix('}') {
        Some(json) => format!(r#"{json},"name":"{text}"}}"#),
        None => format!("{body}&leads%5Badd%5D%5B0%5D%5Bname%5D={text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_any_size_that_lambda_accepts_is_restored_byte_for_byte() {
    let _alone = ALONE.lock().await;
    let bodies = [
        (
            providers::PIPEDRIVE,
            with_text("pipedrive", &prose(59 * MEGABYTE / 10)),
            1,
        ),
        (
            providers::PIPEDRIVE,
            with_text("pipedrive", &noise_text(59 * MEGABYTE / 10)),
            12,
        ),
        (
            providers::CLOSER,
            with_text("closer", &noise_text(MEGABYTE)),
            3,
        ),
        (providers::CLOSER, noise_text(59 * MEGABYTE / 10), 12),
        (
            providers::AMOCRM,
            with_text("amocrm", &prose(45 * MEGABYTE / 10)),
            1,
        ),
        (
            providers::AMOCRM,
            with_text("amocrm", &noise_text(45 * MEGABYTE / 10)),
            18,
        ),
    ];
    for (provider, body, least_items) in bodies {
        let deployment = Deployment::start(provider).await;
        deployment.send_until_stored(&body).await;
        deployment.drain().await;
        let records = deployment.site.table.records().await.unwrap();
        let [record] = &*records else {
            panic!("{} records of {}", records.len(), provider.name)
        };
        assert!(
            encoded(record).len() >= least_items,
            "{}: {}",
            provider.name,
            encoded(record).len()
        );
        let record = deployment
            .site
            .table
            .get(&Key::from_record(record))
            .await
            .unwrap()
            .unwrap()
            .record;
        assert!(
            exact_bytes(&record, &[]) == body.as_bytes(),
            "{} bytes of {}",
            body.len(),
            provider.name
        );
    }
}

/// The item of a message.
fn decoded(body: &str) -> Item {
    let message = Message::from_body(body.to_owned());
    message.decode().unwrap().item
}

/// A record with several chunks.
fn large() -> Record {
    let arrival = Timestamp::from_epoch(1_795_255_200).unwrap();
    Record::Quarantined {
        provider: "closer".to_owned(),
        name: "large".to_owned(),
        index: 0,
        origin: Delivery::new(Vec::new(), arrival, "r").origin,
        reason: Reason::from(&ParseError::NoEvent),
        body: Body::Here(noise_text(3 * MAX_CHUNK_BYTES).into_bytes()),
    }
}

#[tokio::test]
async fn a_half_written_record_is_not_visible_and_a_missing_chunk_is_an_error() {
    let items = encoded(&large());
    let key = Key::from_record(&large());
    for missing in 0..items.len() {
        let deployment = Deployment::start(providers::CLOSER).await;
        let table = &deployment.site.table;
        for (_, item) in items
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != missing)
        {
            assert_eq!(
                table.put(item.clone(), table.now()).await.unwrap(),
                PutOutcome::Inserted
            );
        }
        let one = table.get(&key).await;
        let all = table.records().await;
        if missing == items.len() - 1 {
            assert!(
                one.unwrap().is_none() && all.unwrap().is_empty(),
                "without the item itself"
            );
        } else {
            // No writer puts an item before its chunks.
            let errors = [one.unwrap_err().to_string(), all.unwrap_err().to_string()];
            assert!(
                errors
                    .iter()
                    .all(|error| error.contains("the chunks of an item are missing")),
                "{errors:?}"
            );
        }
        table
            .put(items[missing].clone(), table.now())
            .await
            .unwrap();
        assert_eq!(
            exact_bytes(&table.get(&key).await.unwrap().unwrap().record, &[]),
            exact_bytes(&large(), &[])
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_is_put_after_its_chunks() {
    let parts = encoded(&large()).len() - 1;
    for put in 0..parts {
        let deployment = Deployment::start(providers::CLOSER).await;
        deployment
            .table_proxy
            .set_after(put, Fault::ResetBefore)
            .await;
        assert_eq!(
            deployment.send(exact_bytes(&large(), &[])).await.status,
            200
        );
        let queued = deployment
            .queue
            .messages()
            .into_iter()
            .map(|message| decoded(&message.body));
        let head = queued
            .into_iter()
            .find(|item| item.contains_key("chunks"))
            .unwrap();
        assert_eq!(
            deployment
                .site
                .table
                .put(head, deployment.site.table.now())
                .await
                .unwrap(),
            PutOutcome::Inserted,
            "after {put} of {parts} parts"
        );
    }
}

/// The time in the fallback queue does not change the expiry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_items_of_a_record_expire_at_the_time_set_on_arrival() {
    let policy = Policy {
        quarantine: Some(Duration::from_hours(24)),
        retention: Some(Duration::from_hours(24)),
        ..Policy::default()
    };
    let builder = Deployment::builder(providers::CLOSER).policy(policy);
    let deployment = builder.start().await;
    deployment.table_proxy.set(Fault::Refused).await;
    assert_eq!(
        deployment
            .send(with_text("closer", &noise_text(MEGABYTE)))
            .await
            .status,
        200
    );
    let queued = deployment
        .queue
        .messages()
        .into_iter()
        .map(|message| decoded(&message.body));
    let times: Vec<_> = queued.map(|item| expiry(&item)).collect();
    assert!(times.len() > 2 && times[0].is_some(), "{times:?}");
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_puts_an_item_after_its_chunks_and_leaves_malformed_messages() {
    let broken = Deployment::start(providers::CLOSER).await;
    broken.table_proxy.set(Fault::Refused).await;
    assert_eq!(broken.send(exact_bytes(&large(), &[])).await.status, 200);
    let queued = broken
        .queue
        .messages()
        .into_iter()
        .map(|message| message.body);
    let (heads, parts): (Vec<_>, Vec<_>) =
        queued.partition(|body| decoded(body).contains_key("chunks"));

    let deployment = Deployment::start(providers::CLOSER).await;
    let Deployment { queue, site, .. } = &deployment;
    for body in [&heads[0], "garbage", "", &parts[0]] {
        queue.push(body);
    }
    deployment.drain_batch().await;
    let left: Vec<_> = queue
        .messages()
        .into_iter()
        .map(|message| (message.body, message.receives))
        .collect();
    assert_eq!(
        left,
        [
            (heads[0].clone(), 1),
            ("garbage".to_owned(), 1),
            (String::new(), 1)
        ]
    );
    assert!(site.table.records().await.unwrap().is_empty());

    for part in &parts {
        queue.push(part);
    }
    deployment.drain_batch().await;
    deployment.drain_batch().await;
    assert_eq!(
        queue.messages().len(),
        2,
        "the garbage is not ours to throw away"
    );
    assert_eq!(
        exact_bytes(&site.table.records().await.unwrap()[0], &[]),
        exact_bytes(&large(), &[])
    );
}

/// Makes a body with a given amount of something.
type Make = fn(&Provider, usize) -> String;

/// Limits of a body: the provider, the limit, the function that makes the body, and the reason.
const LIMITS: [(Provider, usize, Make, &str); 13] = [
    (providers::PIPEDRIVE, json::MAX_DEPTH, nested, "too_deep"),
    (providers::CLOSER, json::MAX_DEPTH, nested, "too_deep"),
    (
        providers::AMOCRM,
        providers::amocrm::form::MAX_DEPTH,
        brackets,
        "too_deep",
    ),
    (
        providers::AMOCRM,
        providers::amocrm::form::MAX_DEPTH,
        nested,
        "too_deep",
    ),
    (
        providers::AMOCRM,
        providers::amocrm::form::MAX_FIELDS,
        fields,
        "too_many_fields",
    ),
    (providers::AMOCRM, MAX_EVENTS, form_of, "too_many_events"),
    (
        providers::PIPEDRIVE,
        MAX_SOURCE_BYTES - "pipedrive/".len(),
        company,
        "too_long",
    ),
    (
        providers::AMOCRM,
        MAX_SOURCE_BYTES - "amocrm/".len(),
        company,
        "too_long",
    ),
    (
        providers::PIPEDRIVE,
        MAX_SUBJECT_BYTES - "deal/".len(),
        id,
        "too_long",
    ),
    (
        providers::AMOCRM,
        MAX_SUBJECT_BYTES - "lead/".len(),
        id,
        "too_long",
    ),
    (
        providers::CLOSER,
        MAX_SUBJECT_BYTES - "customer/".len(),
        id,
        "too_long",
    ),
    (
        providers::PIPEDRIVE,
        MAX_TYPE_BYTES - "com.pipedrive.deal.".len(),
        action,
        "too_long",
    ),
    (
        providers::AMOCRM,
        MAX_TYPE_BYTES - "com.amocrm.lead.".len(),
        action,
        "too_long",
    ),
];

/// A body with this number of levels. The body itself is the first level.
fn nested(provider: &Provider, levels: usize) -> String {
    let deep = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    match provider.name {
        "amocrm" => {
            // Below `leads`, which has no brackets in a form either, `add`, `0` and `deep` are
            // levels too.
            let deep = format!("{}1{}", "[".repeat(levels - 3), "]".repeat(levels - 3));
            format!(
                r#"{{"leads":{{"add":{{"0":{{"id":1,"updated_at":1795255200,"deep":{deep}}}}}}}}}"#
            )
        }
        name => event(name, 1).replacen('{', &format!(r#"{{"deep":{deep},"#), 1),
    }
}

fn brackets(provider: &Provider, levels: usize) -> String {
    format!(
        "{}&leads[add][0]{}=1",
        event(provider.name, 1),
        "[a]".repeat(levels - 2)
    )
}

fn fields(provider: &Provider, count: usize) -> String {
    let body = event(provider.name, 1);
    // `leads`, `add` and `0` count too.
    let more = count - 3 - body.split('&').count();
    (0..more).fold(body, |mut body, number| {
        write!(body, "&leads[add][0][{number}]=").unwrap();
        body
    })
}

fn form_of(provider: &Provider, events: usize) -> String {
    delivery(provider, 1, u32::try_from(events).unwrap())
}

fn company(provider: &Provider, length: usize) -> String {
    let name = "7".repeat(length);
    match provider.name {
        "amocrm" => format!("{}&account[id]={name}", event("amocrm", 1)),
        other => {
            event(other, 1).replace(r#""company_id":"7""#, &format!(r#""company_id":"{name}""#))
        }
    }
}

fn id(provider: &Provider, length: usize) -> String {
    let id = "9".repeat(length);
    match provider.name {
        "pipedrive" => {
            event("pipedrive", 7).replace(r#""entity_id":"7""#, &format!(r#""entity_id":"{id}""#))
        }
        "closer" => event("closer", 7).replace(r#""id":"7""#, &format!(r#""id":"{id}""#)),
        _ => format!("leads[add][0][id]={id}&leads[add][0][updated_at]=1795255200"),
    }
}

fn action(provider: &Provider, length: usize) -> String {
    let action = "a".repeat(length);
    match provider.name {
        "amocrm" => format!("leads[{action}][0][id]=1&leads[{action}][0][updated_at]=1795255200"),
        other => event(other, 1).replace(r#""create""#, &format!(r#""{action}""#)),
    }
}

#[tokio::test]
async fn a_body_above_a_limit_is_quarantined_with_the_reason_of_that_limit() {
    let _alone = ALONE.lock().await;
    for (provider, limit, make, reason) in LIMITS {
        for amount in [limit - 1, limit, limit + 1] {
            let deployment = Deployment::start(provider).await;
            let case = format!("{reason} of {}, {amount} of {limit}", provider.name);
            let body = make(&provider, amount);
            let answer = deployment.send_until_stored(&body).await;
            assert!(
                amount <= limit || answer.after <= provider.timeout,
                "{case}: {answer:?}"
            );
            deployment.drain().await;
            let records = deployment.site.table.records().await.unwrap();
            let quarantined = records
                .iter()
                .find_map(Record::reason)
                .map(|reason| reason.code.as_str());
            assert_eq!(quarantined, (amount > limit).then_some(reason), "{case}");
            if quarantined.is_some() {
                assert_eq!(exact_bytes(&records[0], &[]), body.as_bytes(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_without_a_valid_key_is_quarantined_and_odd_values_are_stored() {
    let lead = "leads[add][0][updated_at]=1795255200&leads[add][0][id]=";
    let cases = [
        (
            providers::PIPEDRIVE,
            id(&providers::PIPEDRIVE, 0).replace(r#""id":7"#, r#""id":"""#),
            Some("missing"),
        ),
        (
            providers::CLOSER,
            id(&providers::CLOSER, 0),
            Some("missing"),
        ),
        (providers::AMOCRM, lead.to_owned(), Some("missing")),
        (
            providers::AMOCRM,
            format!("{lead}1&leads[add][99999999999999999999999][id]=2"),
            None,
        ),
        (
            providers::AMOCRM,
            format!(
                "{lead}1&leads[add][0][linked][18446744073709551615]=a&leads[add][0][linked][]=b"
            ),
            None,
        ),
        (
            providers::AMOCRM,
            format!("{lead}1&leads[add][0][linked][15319601][ID]=1"),
            None,
        ),
        (
            providers::AMOCRM,
            "leads[add][0][id]=1&leads[add][0][updated_at]=99999999999999999999".to_owned(),
            None,
        ),
        (
            providers::CLOSER,
            event("closer", 1).replace("1795255200000", "-9223372036854775808"),
            None,
        ),
        (
            providers::CLOSER,
            event("closer", 1).replace("1795255200000", "1e400"),
            None,
        ),
        (
            providers::PIPEDRIVE,
            event("pipedrive", 1).replace("2026-11-21T", "-9999-12-31T"),
            None,
        ),
        (
            providers::PIPEDRIVE,
            event("pipedrive", 1).replace("2026-11-21T", "9999-12-31T"),
            None,
        ),
    ];
    for (provider, body, reason) in cases {
        let deployment = Deployment::start(provider).await;
        assert_eq!(deployment.send(&body).await.status, 200, "{body}");
        assert!(
            deployment.queue.messages().is_empty(),
            "the table refuses {body}"
        );
        let records = deployment.site.table.records().await.unwrap();
        assert_eq!(
            records
                .iter()
                .find_map(Record::reason)
                .map(|reason| reason.code.as_str()),
            reason,
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_maximum_of_events_is_answered_in_time_whatever_the_table_does() {
    let _alone = ALONE.lock().await;
    let provider = providers::AMOCRM;
    let body = form_of(&provider, MAX_EVENTS);
    for fault in [Fault::None, Fault::Refused, Fault::Hang, Fault::Throttling] {
        let deployment = Deployment::start(provider).await;
        deployment.table_proxy.set(fault).await;
        let answer = deployment.send(&body).await;
        println!(
            "{MAX_EVENTS} events, table with fault {fault:?}: {answer:?}, {} queued",
            deployment.queue.messages().len()
        );
        assert!(
            answer.status == 200 && answer.after <= provider.timeout,
            "{fault:?}: {answer:?}"
        );
        deployment.table_proxy.set(Fault::None).await;
        deployment.drain().await;
        deployment
            .assert_stored(std::slice::from_ref(&body), MAX_EVENTS)
            .await;
    }
}

/// An HTTP transport that panics a number of times, and then works.
#[derive(Debug)]
struct Panicking {
    times: AtomicUsize,
    then: SharedHttpClient,
}

impl HttpClient for Panicking {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let left = self
            .times
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |times| {
                times.checked_sub(1)
            });
        assert!(left.is_err(), "a defect of the transport");
        self.then.http_connector(settings, components)
    }
}

#[tokio::test]
async fn a_panic_in_the_transport_quarantines_the_delivery_or_is_a_503() {
    for (times, status) in [(1, 200), (2, 503)] {
        let http = Panicking {
            times: times.into(),
            then: aws_smithy_http_client::Builder::new().build_http(),
        };
        let client = Client::with_transport(SharedHttpClient::new(http));
        let builder = Deployment::builder(providers::CLOSER).client(client);
        let deployment = builder.start().await;
        assert_eq!(deployment.send(event("closer", 1)).await.status, status);
        let records = deployment.site.table.records().await.unwrap();
        let reason = records.iter().find_map(Record::reason);
        assert_eq!(
            reason,
            (status == 200).then_some(&Reason::from(&ParseError::Panicked))
        );
        let next = deployment.send(event("closer", 2)).await;
        assert!(
            next.status == 200 && next.after < Duration::from_millis(200),
            "{next:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_a_small_multiple_of_the_body() {
    let _alone = ALONE.lock().await;
    for (provider, body) in [
        (
            providers::PIPEDRIVE,
            with_text("pipedrive", &noise_text(59 * MEGABYTE / 10)),
        ),
        (
            providers::AMOCRM,
            with_text("amocrm", &noise_text(45 * MEGABYTE / 10)),
        ),
        (providers::AMOCRM, "&a".repeat(22 * MEGABYTE / 10)),
        (
            providers::CLOSER,
            format!("[{}0]", "0,".repeat(29 * MEGABYTE / 10)),
        ),
    ] {
        let deployment = Deployment::start(provider).await;
        let mut function = Function::spawn(binary(provider.name), &deployment.environment()).await;
        assert_eq!(
            function
                .invoke(Request::post(provider.name, &event(provider.name, 1)))
                .await
                .status(),
            200
        );
        let before = function.peak_memory();
        let request = match provider.name {
            "amocrm" => Request::post_bytes(provider.name, body.as_bytes()),
            name => Request::post(name, &body),
        };
        let mut attempts = 1;
        while function.invoke(request.clone()).await.status() != 200 {
            attempts += 1;
            assert!(attempts <= 5, "{} bytes of {}", body.len(), provider.name);
        }
        let grown = function.peak_memory() - before;
        let length = body.len();
        println!(
            "{length} bytes of {}: {grown} more at the peak",
            provider.name
        );
        assert!(
            grown <= 12 * length,
            "{} takes {grown} bytes for a body of {length}",
            provider.name
        );
    }
}
