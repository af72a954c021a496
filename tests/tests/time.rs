//! What a delivery waits for while a store fails, in virtual time and to the millisecond.

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use models::{Delivery, Record, Timestamp, Unreadable};
use std::{
    collections::VecDeque,
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{
    Client, Settings, Store,
    time::{ATTEMPT, ATTEMPTS, SHARE, SPOOL_FIRST},
};
use tokio::time::Instant;

/// What becomes of a call to the table.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Hangs,
    Refused,
    Answered,
}

/// A table of which each call has its fate, the last one for good, and a queue that takes everything at once.
#[derive(Debug, Clone)]
struct Stores(Arc<Mutex<VecDeque<Fate>>>);

impl Stores {
    fn next(&self) -> Fate {
        let mut fates = self.0.lock().unwrap();
        if fates.len() > 1 { fates.pop_front().unwrap() } else { fates[0] }
    }
}

impl HttpConnector for Stores {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.headers().get("x-amz-target").unwrap().starts_with("AmazonSQS") {
            return HttpConnectorFuture::ready(Ok(response(
                r#"{"Successful":[{"Id":"0","MessageId":"1"}],"Failed":[]}"#,
            )));
        }
        match self.next() {
            Fate::Hangs => HttpConnectorFuture::new(pending()),
            Fate::Refused => {
                let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
                HttpConnectorFuture::ready(Err(ConnectorError::io(refused.into())))
            }
            Fate::Answered => HttpConnectorFuture::ready(Ok(response("{}"))),
        }
    }
}

impl HttpClient for Stores {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn response(body: &str) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body))
}

fn store(fates: impl IntoIterator<Item = Fate>, spool: Option<&str>) -> Store {
    let stores = Stores(Arc::new(Mutex::new(fates.into_iter().collect())));
    let mut settings = Settings::local("hookkeeper", "http://127.0.0.1:1".to_owned());
    settings.spool = spool.map(str::to_owned);
    settings.sqs_endpoint = Some("http://127.0.0.1:1".to_owned());
    Store::new(&Client::over(SharedHttpClient::new(stores)), &settings)
}

/// Keeps one record, and says how long that took.
async fn keep(store: &Store) -> (store::Outcome, Duration) {
    let started = Instant::now();
    let delivery = Delivery {
        body: b"?".to_vec(),
        arrival: Timestamp::from_unix(Duration::from_secs(1_800_000_001)),
        request_id: "r-1".to_owned(),
        content_type: None,
    };
    let outcome = store.keep(Record::of("closer", &delivery, Err(Unreadable::Panicked))).await;
    (outcome, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_table_that_hangs_costs_a_share_then_nothing_then_an_attempt() {
    let store = store([Fate::Hangs], Some("http://127.0.0.1:1/0/spool"));
    let instant = Duration::from_millis(5);
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!((ATTEMPT * ATTEMPTS..=SHARE + instant).contains(&waited), "the first delivery waited for {waited:?}");
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!(waited < instant, "with the spool first it waited for {waited:?}");
    tokio::time::sleep(SPOOL_FIRST).await;
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.spooled, outcome.lost), (1, 0));
    assert!(
        (ATTEMPT..ATTEMPT + instant).contains(&waited),
        "to see whether the table is back it waited for {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_back_is_used_again() {
    let fates = [Fate::Hangs; ATTEMPTS as usize].into_iter().chain([Fate::Answered]);
    let store = store(fates, Some("http://127.0.0.1:1/0/spool"));
    assert_eq!(keep(&store).await.0.spooled, 1);
    tokio::time::sleep(SPOOL_FIRST).await;
    assert_eq!(keep(&store).await.0.spooled, 0);
    assert_eq!(keep(&store).await.0.spooled, 0);
}

#[tokio::test(start_paused = true)]
async fn two_dead_connections_cost_two_attempts_even_after_a_long_outage() {
    const OUTAGE: usize = 300;
    let outage = vec![Fate::Refused; OUTAGE * ATTEMPTS as usize];
    let store = store(outage.into_iter().chain([Fate::Hangs, Fate::Hangs, Fate::Answered]), None);
    for _ in 0..OUTAGE {
        assert_eq!(keep(&store).await.0.lost, 1);
    }
    let (outcome, waited) = keep(&store).await;
    assert_eq!((outcome.lost, outcome.table_failure), (0, None), "after {waited:?}");
    assert!(waited < SHARE, "it waited for {waited:?}");
}
