//! The receiver of one provider with a table and a fallback queue, either of which can fail.

use crate::{
    proxy::{Fault, Proxy},
    request::{self, Request, event},
    runtime_api::Environment,
    site::Site,
    sqs::Sqs,
};
use ingest::{Authenticator, Receiver, Verdict};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use providers::Provider;
use std::{
    fmt::Write,
    sync::LazyLock,
    time::{Duration, Instant},
};
use storage::{Client, Policy, Settings, Store, Stored};

/// Maximum number of attempts of [`Deployment::send_until_stored`].
const MAX_ATTEMPTS: usize = 5;

/// Client of the receivers. It is shared, because a new client reads the system's certificates,
/// which is slow.
static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

/// The receiver of a provider, in this process. It accepts the credentials of [`request`].
pub struct Deployment {
    /// Provider of the webhooks.
    pub provider: Provider,
    /// Table, without the proxy.
    pub site: Site,
    /// Fallback queue, without the proxy.
    pub queue: Sqs,
    /// Proxy in front of the table.
    pub table_proxy: Proxy,
    /// Proxy in front of the fallback queue.
    pub queue_proxy: Proxy,
    receiver: Receiver,
}

/// Options of a [`Deployment`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    provider: Provider,
    client: Client,
    policy: Policy,
}

impl Builder {
    /// Uses another client than [`Client::new`].
    pub fn client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    /// Uses another policy than the default one.
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Starts the receiver with an empty table and an empty queue.
    pub async fn start(self) -> Deployment {
        let provider = self.provider;
        let site = Site::start().await;
        let queue = Sqs::start().await;
        let table_proxy = Proxy::start(&site.endpoint());
        let queue_proxy = Proxy::start(&queue.endpoint());
        let settings = Settings {
            policy: self.policy,
            dynamodb_endpoint: Some(table_proxy.endpoint()),
            sqs_endpoint: Some(queue_proxy.endpoint()),
            fallback_queue: Some(queue_url(&queue_proxy)),
            ..site.settings()
        };
        let credentials = request::accepted_credentials();
        let authenticator =
            Authenticator::new(&provider, &credentials, &request::accepted_keys(&provider));
        let store = Store::new(&self.client, &settings);
        Deployment {
            provider,
            site,
            queue,
            table_proxy,
            queue_proxy,
            receiver: Receiver::new(provider, authenticator.unwrap(), store).silent(),
        }
    }
}

impl Deployment {
    /// Starts the receiver of a provider with the default options.
    pub async fn start(provider: Provider) -> Self {
        Self::builder(provider).start().await
    }

    /// Default options of a provider's receiver.
    pub fn builder(provider: Provider) -> Builder {
        Builder {
            provider,
            client: CLIENT.clone(),
            policy: Policy::default(),
        }
    }

    /// Environment of a real binary that replaces the receiver.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment::of(self.provider.name, &self.table_proxy.endpoint())
            .accepting(&self.provider)
            .with("AWS_ENDPOINT_URL_SQS", self.queue_proxy.endpoint())
            .with(
                "HOOKKEEPER_FALLBACK_QUEUE_URL",
                queue_url(&self.queue_proxy),
            )
    }

    /// Handles a request and returns its verdict.
    pub async fn receive(&self, event: ApiGatewayV2httpRequest) -> Verdict {
        self.receiver.receive(event).await
    }

    /// Sends a delivery, as one attempt of the provider.
    pub async fn send(&self, body: impl AsRef<[u8]>) -> Reply {
        let request = Request::post_bytes(self.provider.name, body.as_ref());
        let request = serde_json::from_value(request.0).unwrap();
        let started = Instant::now();
        let response = self.receiver.answer(request).await;
        Reply {
            status: response.status_code,
            after: started.elapsed(),
        }
    }

    /// Sends a large delivery again, as the provider does, until it is stored. A test build may
    /// need more than the time budgets for all of its items. Each attempt finds the items that the
    /// earlier ones put.
    pub async fn send_until_stored(&self, body: impl AsRef<[u8]>) -> Reply {
        for _ in 0..MAX_ATTEMPTS {
            let reply = self.send(&body).await;
            if reply.status == 200 {
                return reply;
            }
        }
        panic!(
            "{}: {} bytes are not stored",
            self.provider.name,
            body.as_ref().len()
        );
    }

    /// Sets a fault of one or both stores.
    pub async fn set(&self, place: Place, fault: Fault) {
        if place != Place::FallbackQueue {
            self.table_proxy.set(fault).await;
        }
        if place != Place::Table {
            self.queue_proxy.set(fault).await;
        }
    }

    /// Passes one batch of the fallback queue to the drain.
    pub async fn drain_batch(&self) {
        let drain = async |event| drain::drain(&self.site.table, event).await;
        self.queue.deliver(10, drain).await;
    }

    /// Moves all messages of the fallback queue into the table.
    pub async fn drain(&self) {
        while !self.queue.messages().is_empty() {
            self.drain_batch().await;
        }
    }

    /// Asserts that the table has this number of events, and the exact bytes of these deliveries.
    pub async fn assert_stored(&self, deliveries: &[String], events: usize) {
        let name = self.provider.name;
        let records = self.site.table.records().await.unwrap();
        let stored = records.iter().filter(|record| record.is_event());
        assert_eq!(stored.count(), events, "{name}");
        let bodies = self.site.deliveries().await;
        for body in deliveries {
            let is_stored = bodies.iter().any(|stored| stored == body.as_bytes());
            assert!(is_stored, "{name}: a body is lost");
        }
    }
}

fn queue_url(queue: &Proxy) -> String {
    format!("{}/000000000000/fallback", queue.endpoint())
}

/// Delivers requests one after the other to a new receiver with long timeouts. Returns the verdict
/// of each request, and all stored records.
pub async fn deliver(
    provider: Provider,
    events: &[ApiGatewayV2httpRequest],
) -> (Vec<Verdict>, Vec<Stored>) {
    let client = Client::background();
    let deployment = Deployment::builder(provider).client(client).start().await;
    let mut verdicts = Vec::new();
    for event in events {
        verdicts.push(deployment.receive(event.clone()).await);
    }
    (verdicts, deployment.site.stored().await)
}

/// Response to a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// The status.
    pub status: i64,
    /// Latency of the response.
    pub after: Duration,
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
    if events == 1 {
        return event(provider.name, number);
    }
    let mut form = String::new();
    for index in 0..events {
        let lead = format!("leads%5Bupdate%5D%5B{index}%5D");
        let id = number * 1_000 + index;
        write!(form, "{lead}%5Bid%5D={id}&{lead}%5Bname%5D=A+B&").unwrap();
        write!(form, "{lead}%5Bupdated_at%5D=1795255200&").unwrap();
    }
    form
}
