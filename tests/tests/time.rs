//! Latency of a delivery while a store fails, in virtual time and to the millisecond.

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use hookkeeper::template::TEMPLATE;
use models::{Delivery, ParseError, Record, Timestamp};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use storage::{
    Message, Outcome, Store,
    budget::{ATTEMPT, ATTEMPTS, FIRST_WAIT, LONGEST_WAIT, QUEUE_FIRST, TIME_BUDGET},
};
use testkit::{
    noise,
    site::encoded,
    stores::{ANSWERED, Call, Fate, Service, Stores},
};
use tokio::time::Instant;

/// Longest duration of an operation that waits for nothing.
const INSTANT: Duration = Duration::from_millis(5);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Results of the calls to the table, in order. The last one repeats.
#[derive(Debug, Clone)]
struct Fates(Arc<Mutex<VecDeque<Fate>>>);

impl Fates {
    fn new(fates: impl IntoIterator<Item = Fate>) -> Self {
        Self(Arc::new(Mutex::new(fates.into_iter().collect())))
    }

    fn set(&self, fates: impl IntoIterator<Item = Fate>) {
        *self.0.lock().unwrap() = fates.into_iter().collect();
    }

    fn next(&self) -> Fate {
        let mut fates = self.0.lock().unwrap();
        if fates.len() > 1 {
            fates.pop_front().unwrap()
        } else {
            fates[0]
        }
    }

    /// Stores whose table has these results, and whose queue accepts everything immediately.
    fn of_the_table(&self) -> Stores {
        let fates = self.clone();
        Stores::new(move |call| {
            if call.service == Service::Table {
                fates.next()
            } else {
                ANSWERED
            }
        })
    }
}

/// A record of a body.
fn record(body: Vec<u8>) -> Record {
    let delivery = Delivery::new(
        body,
        Timestamp::from_unix(Duration::from_secs(1_800_000_001)),
        "r-1",
    );
    Record::from_delivery("closer", &delivery, Err(ParseError::Panicked))
        .pop()
        .unwrap()
}

/// Stores one record, and returns the elapsed time too.
async fn keep(store: &Store) -> (Outcome, Duration) {
    keep_body(store, b"?".to_vec()).await
}

async fn keep_body(store: &Store, body: Vec<u8>) -> (Outcome, Duration) {
    let started = Instant::now();
    let outcome = store.store(vec![record(body)]).await;
    (outcome, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_hanging_table_costs_a_time_budget_then_nothing_then_one_attempt() {
    let store = Fates::new([Fate::Hangs]).of_the_table().store();
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.queued, outcome.lost), (1, 0));
    assert!(
        (ATTEMPT * ATTEMPTS..=TIME_BUDGET + INSTANT).contains(&waited),
        "the first delivery waited for {waited:?}"
    );
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.queued, outcome.lost), (1, 0));
    assert!(
        waited < INSTANT,
        "with the queue first it waited for {waited:?}"
    );
    tokio::time::sleep(QUEUE_FIRST).await;
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.queued, outcome.lost), (1, 0));
    assert!(
        (ATTEMPT..ATTEMPT + INSTANT).contains(&waited),
        "to see whether the table is back it waited for {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_recovered_table_is_used_again() {
    let fates = [Fate::Hangs; ATTEMPTS as usize]
        .into_iter()
        .chain([ANSWERED]);
    let store = Fates::new(fates).of_the_table().store();
    assert_eq!(keep(&store).await.0.queued, 1);
    tokio::time::sleep(QUEUE_FIRST).await;
    assert_eq!(keep(&store).await.0.queued, 0);
    assert_eq!(keep(&store).await.0.queued, 0);
}

#[tokio::test(start_paused = true)]
async fn two_dead_connections_cost_two_attempts_even_after_a_long_outage() {
    let fates = Fates::new([Fate::Refused]);
    let store = fates.of_the_table().store_without_queue();
    for _ in 0..300 {
        assert_eq!(keep(&store).await.0.lost, 1);
    }
    fates.set([Fate::Hangs, Fate::Hangs, ANSWERED]);
    let (outcome, waited) = keep(&store).await;
    assert_eq!(outcome.lost, 0, "after {waited:?}");
    let longest = ATTEMPT * 2 + FIRST_WAIT + LONGEST_WAIT + INSTANT;
    assert!(waited < longest, "it waited for {waited:?}");
}

/// Failures that take no time.
const FAST: [Fate; 4] = [
    Fate::Refused,
    Fate::Fails("AccessDeniedException"),
    Fate::Fails("ThrottlingException"),
    Fate::Fails("InternalServerError"),
];

#[tokio::test(start_paused = true)]
async fn fast_failures_of_both_stores_are_retried_until_one_recovers() {
    for fate in FAST {
        for failing in [30, 200, 400, 1_000].map(millis) {
            for first_well in [Service::Table, Service::Queue] {
                let decide = move |call: &Call| {
                    let is_well = call.service == first_well && call.at >= failing;
                    if is_well { ANSWERED } else { fate }
                };
                let (outcome, waited) = keep(&Stores::new(decide).store()).await;
                let case = format!("{fate:?} for {failing:?}, then the {first_well:?} is well");
                assert_eq!(outcome.lost, 0, "{case}: lost after {waited:?}");
                assert!(
                    waited < failing + millis(150),
                    "{case}: it waited for {waited:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failing_stores_cost_two_time_budgets_and_a_bounded_number_of_calls() {
    for table in FAST.into_iter().chain([Fate::Hangs]) {
        for queue in FAST.into_iter().chain([Fate::Hangs]) {
            let stores = Stores::new(move |call| {
                if call.service == Service::Table {
                    table
                } else {
                    queue
                }
            });
            let store = stores.store();
            // With the table first, then with the queue first.
            for _ in 0..2 {
                let before = [Service::Table, Service::Queue].map(|service| stores.calls(service));
                let (outcome, waited) = keep(&store).await;
                assert_eq!(outcome.lost, 1);
                assert!(
                    waited <= TIME_BUDGET * 2 + INSTANT,
                    "{table:?}, {queue:?}: it waited for {waited:?}"
                );
                assert!(
                    waited >= TIME_BUDGET * 2 - millis(60),
                    "{table:?}, {queue:?}: it gave up after {waited:?}"
                );
                let calls = [Service::Table, Service::Queue].map(|service| stores.calls(service));
                for (now, before) in calls.into_iter().zip(before) {
                    assert!(
                        now - before <= 24 * ATTEMPTS as usize,
                        "{table:?}, {queue:?}: {} calls",
                        now - before
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_table_is_limited_to_its_time_budget() {
    // The queue is unavailable for slightly longer than the time budget of the table.
    let well = TIME_BUDGET + millis(100);
    let decide = move |call: &Call| match call.service {
        Service::Table => Fate::Hangs,
        Service::Queue if call.at < well => Fate::Refused,
        Service::Queue => ANSWERED,
    };
    let (outcome, waited) = keep(&Stores::new(decide).store()).await;
    assert_eq!((outcome.queued, outcome.lost), (1, 0), "after {waited:?}");
    assert!(waited < well + millis(150), "it waited for {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recovered_table_has_its_time_budget_when_the_queue_is_unavailable() {
    let late = Fate::Answers(ATTEMPT - millis(5));
    for (what, fates) in [
        ("its idle connection is dead", vec![Fate::Hangs, ANSWERED]),
        (
            "both idle connections are dead",
            vec![Fate::Hangs, Fate::Hangs, ANSWERED],
        ),
        (
            "its first answers are late",
            vec![Fate::Answers(ATTEMPT + millis(5)), late],
        ),
    ] {
        for queue in [Fate::Refused, Fate::Hangs] {
            let table = Fates::new([Fate::Fails("ThrottlingException")]);
            let is_away = Arc::new(Mutex::new(false));
            let stores = {
                let (table, is_away) = (table.clone(), is_away.clone());
                Stores::new(move |call| match call.service {
                    Service::Table => table.next(),
                    Service::Queue if *is_away.lock().unwrap() => queue,
                    Service::Queue => ANSWERED,
                })
            };
            let store = stores.store();
            assert_eq!(keep(&store).await.0.queued, 1);
            for pause in [QUEUE_FIRST, Duration::ZERO] {
                tokio::time::sleep(pause).await;
                table.set(fates.clone());
                *is_away.lock().unwrap() = true;
                let (outcome, waited) = keep(&store).await;
                assert_eq!(
                    (outcome.lost, outcome.queued),
                    (0, 0),
                    "{what}, the queue {queue:?}, after {waited:?}"
                );
            }
        }
    }
}

/// The largest form: `data` and `body` of an event are compressed, and neither becomes smaller.
const LARGEST: usize = 6_800_000;
/// Measured rate at which a function with 512 MB of memory signs and sends.
const BYTES_A_SECOND: usize = 50_000_000;

#[tokio::test(start_paused = true)]
async fn a_queue_with_100_ms_latency_takes_the_largest_body_when_the_table_hangs() {
    for latency in [10, 60, 100].map(millis) {
        let decide = move |call: &Call| {
            if call.service == Service::Table {
                Fate::Hangs
            } else {
                Fate::Answers(latency)
            }
        };
        let stores = Stores::new(decide).on_a_machine_of(BYTES_A_SECOND);
        let store = stores.store();
        for _ in 0..2 {
            let sent = stores.messages().len();
            let (outcome, waited) = keep_body(&store, noise(LARGEST)).await;
            assert_eq!(
                (outcome.queued, outcome.lost),
                (1, 0),
                "{latency:?}: after {waited:?}"
            );
            assert!(
                waited <= TIME_BUDGET * 2 + INSTANT,
                "{latency:?}: {waited:?}"
            );
            assert_eq!(
                stores.messages().len() - sent,
                encoded(&record(noise(LARGEST))).len(),
                "{latency:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_takes_the_chunks_of_an_item_before_the_item() {
    let body = noise(3_000_000);
    let items = encoded(&record(body.clone())).len();
    for taken in 0..=items {
        let decide = move |call: &Call| match call.service {
            Service::Queue if call.number < taken => ANSWERED,
            _ => Fate::Fails("AccessDenied"),
        };
        let stores = Stores::new(decide);
        let (outcome, _) = keep_body(&stores.store(), body.clone()).await;
        let messages = stores.messages().into_iter();
        let messages: Vec<_> = messages.map(is_head).collect();
        let heads = messages.iter().filter(|is_head| **is_head).count();
        assert_eq!(
            heads, outcome.queued,
            "{taken} of {items} messages were taken"
        );
        assert_eq!(
            heads,
            usize::from(taken == items),
            "{taken} of {items} messages were taken"
        );
        assert!(heads == 0 || messages.last() == Some(&true), "{messages:?}");
    }
}

/// Whether a message is an item with chunks.
fn is_head(message: String) -> bool {
    let decoded = Message::from_body(message).decode().unwrap();
    decoded.item.contains_key("chunks")
}

/// A batch of two messages: the item of the largest record, without its chunks, and a small one.
fn batch() -> SqsEvent {
    let head = encoded(&record(noise(LARGEST))).pop().unwrap();
    let small = encoded(&record(b"?".to_vec())).pop().unwrap();
    let mut event = SqsEvent::default();
    for (id, item) in [("head", head), ("small", small)] {
        let mut message = SqsMessage::default();
        message.message_id = Some(id.to_owned());
        message.body = Some(Message::from_item(&item).text().to_owned());
        event.records.push(message);
    }
    event
}

/// The timeout of the drain in the template.
fn timeout_of_the_drain() -> Duration {
    let (_, function) = TEMPLATE.split_once("  DrainFunction:").unwrap();
    let (_, timeout) = function.split_once("Timeout: ").unwrap();
    let (seconds, _) = timeout.split_once('\n').unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_drain_ends_before_the_lambda_timeout_however_slow_the_table_is() {
    let timeout = timeout_of_the_drain();
    for (seconds, left) in [
        (1, vec![]),
        (3, vec![]),
        (4, vec![]),
        (6, vec!["head", "small"]),
    ] {
        let stores = Stores::new(move |_| Fate::Answers(Duration::from_secs(seconds)));
        let started = Instant::now();
        let response = drain::drain(&stores.table(), batch()).await.response();
        let took = started.elapsed();
        let ids: Vec<_> = response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect();
        assert_eq!(ids, left, "a table of {seconds} s, after {took:?}");
        assert!(
            took <= timeout - Duration::from_secs(5),
            "a table of {seconds} s: {took:?}"
        );
    }
    // Each call hangs twice, and the third attempt is answered.
    let stores = Stores::new(|call| {
        if call.number % 3 == 2 {
            ANSWERED
        } else {
            Fate::Hangs
        }
    });
    let started = Instant::now();
    drain::drain(&stores.table(), batch()).await;
    assert!(
        started.elapsed() <= drain::DEADLINE + INSTANT,
        "{:?}",
        started.elapsed()
    );
    let hangs = Stores::new(|call| {
        if call.number == 0 {
            Fate::Hangs
        } else {
            ANSWERED
        }
    });
    assert!(
        drain::drain(&hangs.table(), batch())
            .await
            .response()
            .batch_item_failures
            .is_empty()
    );
}
