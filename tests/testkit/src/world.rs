//! Receiver with stores that can fail, for the tests of faults and limits.

use crate::{
    kept::bodies,
    proxy::{Fault, Proxy},
    request::{CREDENTIALS, Request, accepted, event},
    runtime_api::Environment,
    sqs::Sqs,
};
use hookkeeper::{
    dev::{Data, DynamoDb},
    template::TEMPLATE,
};
use ingest::{Authenticator, Receiver};
use models::Record;
use providers::Provider;
use std::{
    fmt::Write,
    sync::LazyLock,
    time::{Duration, Instant},
};
use storage::{Client, Settings, Store, Table};

/// Maximum number of attempts of [`World::send_until_kept`].
const ATTEMPTS_OF_A_PROVIDER: usize = 5;

/// Client of the receivers. It is shared, because a new client reads the system's certificates,
/// which is slow.
pub static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);
/// Client of the drain, shared for the same reason.
pub static BACKGROUND: LazyLock<Client> = LazyLock::new(Client::background);

/// Receiver whose table and fallback queue can fail.
pub struct World {
    /// Provider of the webhooks.
    pub provider: Provider,
    /// Proxy in front of the table.
    pub table: Proxy,
    /// Proxy in front of the fallback queue.
    pub fallback_queue: Proxy,
    /// Fallback queue, without the proxy.
    pub sqs: Sqs,
    /// Table, without the proxy.
    pub kept: Table,
    receiver: Receiver,
    _dynamodb: DynamoDb,
}

/// Response to a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The status.
    pub status: i64,
    /// Latency of the response.
    pub after: Duration,
}

impl World {
    /// Starts the receiver of a provider, without a fault.
    pub async fn of(provider: Provider) -> Self {
        Self::with(provider, &CLIENT, |settings| settings).await
    }

    /// Starts the receiver of a provider with a client and changed settings.
    pub async fn with(
        provider: Provider,
        client: &Client,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let sqs = Sqs::start().await;
        let (table, fallback_queue) = (
            Proxy::start(&dynamodb.endpoint()),
            Proxy::start(&sqs.endpoint()),
        );
        let mut settings = dynamodb.settings();
        settings.dynamodb_endpoint = Some(table.endpoint());
        settings.sqs_endpoint = Some(fallback_queue.endpoint());
        settings.fallback_queue = Some(queue(&fallback_queue));
        let store = Store::new(client, &change(settings));
        let gate = Authenticator::new(&provider, &accepted("test", CREDENTIALS), "").unwrap();
        let receiver = Receiver::new(provider, gate, store).silent();
        let kept = Table::new(&BACKGROUND, &dynamodb.settings());
        Self {
            provider,
            receiver,
            table,
            fallback_queue,
            sqs,
            kept,
            _dynamodb: dynamodb,
        }
    }

    /// Environment of a real binary that replaces the receiver.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let credentials = format!("{}_CREDENTIALS", self.provider.name.to_uppercase());
        Environment::of(self.provider.name, &self.table.endpoint())
            .with("AWS_ENDPOINT_URL_SQS", self.fallback_queue.endpoint())
            .with("HOOKKEEPER_FALLBACK_QUEUE_URL", queue(&self.fallback_queue))
            .with(&credentials, accepted("test", CREDENTIALS))
    }

    /// Sends a delivery, as one attempt of the provider.
    pub async fn send(&self, body: impl AsRef<[u8]>) -> Answer {
        let request = Request::post_bytes(self.provider.name, body.as_ref());
        let request = serde_json::from_value(request.0).unwrap();
        let started = Instant::now();
        let response = self.receiver.answer(request).await;
        Answer {
            status: response.status_code,
            after: started.elapsed(),
        }
    }

    /// Sends a large delivery again, as the provider does, until it is stored. A test build may
    /// need more than the time budgets for all of its items. Each attempt finds the items that the
    /// earlier ones put.
    pub async fn send_until_kept(&self, body: impl AsRef<[u8]>) -> Answer {
        for _ in 0..ATTEMPTS_OF_A_PROVIDER {
            let answer = self.send(&body).await;
            if answer.status == 200 {
                return answer;
            }
        }
        panic!(
            "{} bytes of {} are not kept",
            body.as_ref().len(),
            self.provider.name
        );
    }

    /// Sets a fault of one or both stores.
    pub async fn set(&self, place: Place, fault: Fault) {
        if place != Place::FallbackQueue {
            self.table.set(fault).await;
        }
        if place != Place::Table {
            self.fallback_queue.set(fault).await;
        }
    }

    /// Moves all messages of the fallback queue into the table.
    pub async fn drain(&self) {
        while !self.sqs.messages().is_empty() {
            self.sqs
                .deliver(10, async |event| drain::drain(&self.kept, event).await)
                .await;
        }
    }

    /// Asserts that the table has each event of some deliveries once, and their bodies as they were sent.
    pub async fn assert_kept(&self, deliveries: &[String], events: usize) {
        let (records, bodies) = (self.kept.records().await.unwrap(), bodies(&self.kept).await);
        let kept = records
            .iter()
            .filter(|record| matches!(record, Record::Event { .. }))
            .count();
        assert_eq!(kept, events, "{}", self.provider.name);
        for body in deliveries {
            assert!(
                bodies.iter().any(|kept| kept == body.as_bytes()),
                "{}: a body is lost",
                self.provider.name
            );
        }
    }
}

fn queue(fallback_queue: &Proxy) -> String {
    format!("{}/000000000000/spool", fallback_queue.endpoint())
}

/// Store with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The table.
    Table,
    /// The fallback queue.
    FallbackQueue,
    /// Both of them.
    Both,
}

/// Body of a delivery with a number of events, which differ for each `number`.
#[must_use]
pub fn delivery(provider: &Provider, number: u32, events: u32) -> String {
    match events {
        1 => event(provider.name, number),
        _ => (0..events).fold(String::new(), |mut form, index| {
            let (lead, id) = (
                format!("leads%5Bupdate%5D%5B{index}%5D"),
                number * 1_000 + index,
            );
            write!(
                form,
                "{lead}%5Bid%5D={id}&{lead}%5Bname%5D=A+B&{lead}%5Bupdated_at%5D=1795255200&"
            )
            .unwrap();
            form
        }),
    }
}
