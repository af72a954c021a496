//! A receiver between stores that can break: what the tests of faults and limits put on trial.

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

/// How often [`World::send_until_kept`] sends.
const ATTEMPTS_OF_A_PROVIDER: usize = 5;

/// The receivers' client. Making one takes a while, since it reads the system's certificates.
pub static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);
/// The drain's, likewise.
pub static BACKGROUND: LazyLock<Client> = LazyLock::new(Client::background);

/// A receiver whose table and spool can break.
pub struct World {
    /// Whose webhooks it receives.
    pub provider: Provider,
    /// What stands before the table.
    pub table: Proxy,
    /// What stands before the spool.
    pub fallback_queue: Proxy,
    /// The spool.
    pub sqs: Sqs,
    /// The table, past the proxy.
    pub kept: Table,
    receiver: Receiver,
    _dynamodb: DynamoDb,
}

/// What a delivery was answered with.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The status.
    pub status: i64,
    /// How long it waited for it.
    pub after: Duration,
}

impl World {
    /// Of a provider, with nothing broken.
    pub async fn of(provider: Provider) -> Self {
        Self::with(provider, &CLIENT, |settings| settings).await
    }

    /// The same with another client, and other settings.
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

    /// The environment of a real binary in the receiver's place.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let credentials = format!("{}_CREDENTIALS", self.provider.name.to_uppercase());
        Environment::of(self.provider.name, &self.table.endpoint())
            .with("AWS_ENDPOINT_URL_SQS", self.fallback_queue.endpoint())
            .with("HOOKKEEPER_SPOOL_URL", queue(&self.fallback_queue))
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

    /// Sends a large delivery again, as the provider does, until it is kept: a build for tests may need more than the shares
    /// for all of its items, and what one attempt put the next one finds there.
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

    /// Breaks the stores.
    pub async fn set(&self, place: Place, fault: Fault) {
        if place != Place::FallbackQueue {
            self.table.set(fault).await;
        }
        if place != Place::Table {
            self.fallback_queue.set(fault).await;
        }
    }

    /// Moves all that waits in the spool into the table.
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

/// Which store breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The table.
    Table,
    /// The spool.
    FallbackQueue,
    /// Both of them.
    Both,
}

/// The body of a delivery of so many events, other ones for each number.
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
