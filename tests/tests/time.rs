//! What a delivery waits for while a store fails, in virtual time and to the millisecond.

use models::{Delivery, Record, Timestamp, Unreadable};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{
    Outcome, Store,
    time::{ATTEMPT, ATTEMPTS, SHARE, SPOOL_FIRST},
};
use tests::stores::{ANSWERED, Fate, Service, Stores};
use tokio::time::Instant;

/// What is done without waiting for anything.
const INSTANT: Duration = Duration::from_millis(5);

/// The fates of the table's calls, one after another, the last one for good.
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
        if fates.len() > 1 { fates.pop_front().unwrap() } else { fates[0] }
    }

    /// Stores whose table has these fates, and whose queue takes everything at once.
    fn of_the_table(&self) -> Stores {
        let fates = self.clone();
        Stores::new(move |call| if call.service == Service::Table { fates.next() } else { ANSWERED })
    }
}

/// A record of a body.
fn record(body: Vec<u8>) -> Record {
    let delivery = Delivery {
        body,
        arrival: Timestamp::from_unix(Duration::from_secs(1_800_000_001)),
        request_id: "r-1".to_owned(),
        content_type: None,
    };
    Record::of("closer", &delivery, Err(Unreadable::Panicked)).pop().unwrap()
}

/// Keeps one record, and says how long that took.
async fn keep(store: &Store) -> (Outcome, Duration) {
    keep_body(store, b"?".to_vec()).await
}

async fn keep_body(store: &Store, body: Vec<u8>) -> (Outcome, Duration) {
    let started = Instant::now();
    let outcome = store.keep(vec![record(body)]).await;
    (outcome, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_table_that_hangs_costs_a_share_then_nothing_then_an_attempt() {
    let store = Fates::new([Fate::Hangs]).of_the_table().store();
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!((ATTEMPT * ATTEMPTS..=SHARE + INSTANT).contains(&waited), "the first delivery waited for {waited:?}");
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!(waited < INSTANT, "with the spool first it waited for {waited:?}");
    tokio::time::sleep(SPOOL_FIRST).await;
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!(
        (ATTEMPT..ATTEMPT + INSTANT).contains(&waited),
        "to see whether the table is back it waited for {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_back_is_used_again() {
    let fates = [Fate::Hangs; ATTEMPTS as usize].into_iter().chain([ANSWERED]);
    let store = Fates::new(fates).of_the_table().store();
    assert_eq!(keep(&store).await.0.spooled, 1);
    tokio::time::sleep(SPOOL_FIRST).await;
    assert_eq!(keep(&store).await.0.spooled, 0);
    assert_eq!(keep(&store).await.0.spooled, 0);
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
    assert!(waited < SHARE, "it waited for {waited:?}");
}
