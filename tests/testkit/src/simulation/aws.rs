//! Simulated AWS endpoint of the SDK: it takes requests in AWS JSON and responds late, with an
//! error or never, according to the faults.
//!
//! It runs in process: over real sockets, a paused clock would fire timeouts that did not happen.

use super::{dynamodb::Table, sqs::Queue, world::World};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
            http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use std::{
    future::pending,
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Table,
    FallbackQueue,
}

/// How a service fails.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Nothing comes back.
    Hangs,
    /// The connection is refused.
    Refuses,
    /// It does what it is asked, and takes so many milliseconds. Who stops waiting does not stop it.
    Slow(Range<u64>),
}

/// When a service fails, and how.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) service: Service,
    pub(crate) during: Range<Duration>,
    pub(crate) failure: Failure,
}

/// What a service takes when nothing is wrong, in milliseconds; one call in a thousand takes [`TAIL`].
const LATENCY: Range<u64> = 3..12;
const TAIL: Range<u64> = 30..120;

#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) world: Arc<World>,
    pub(crate) table: Table,
    pub(crate) queue: Queue,
    pub(crate) faults: &'static [Fault],
}

impl Aws {
    fn failure(&self, service: Service) -> Option<&Failure> {
        let now = self.world.now();
        let fault = self
            .faults
            .iter()
            .find(|fault| fault.service == service && fault.during.contains(&now));
        fault.map(|fault| &fault.failure)
    }

    async fn call(self: Arc<Self>, call: Call) -> Result<HttpResponse, ConnectorError> {
        let latency = match self.failure(call.service) {
            Some(Failure::Hangs) => pending().await,
            Some(Failure::Refuses) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(ConnectorError::io(
                    io::Error::from(io::ErrorKind::ConnectionRefused).into(),
                ));
            }
            Some(Failure::Slow(latency)) => latency.clone(),
            None if self.world.one_in(1_000) => TAIL,
            None => LATENCY,
        };
        let way = self.world.millis(&latency) / 2;
        // In a task of its own, since a service goes on when nobody waits for it any more.
        let served = tokio::spawn(async move {
            tokio::time::sleep(way).await;
            let answer = match call.service {
                Service::Table => self
                    .table
                    .call(&call.operation, &call.body, self.world.now()),
                Service::FallbackQueue => {
                    self.queue
                        .call(&call.operation, &call.body, self.world.now())
                }
            };
            tokio::time::sleep(way).await;
            answer
        });
        let (status, body) = served.await.unwrap();
        Ok(HttpResponse::new(
            StatusCode::try_from(status).unwrap(),
            SdkBody::from(body.to_string()),
        ))
    }
}

struct Call {
    service: Service,
    operation: String,
    body: Value,
}

impl Call {
    fn of(request: &HttpRequest) -> Self {
        let (service, operation) = request
            .headers()
            .get("x-amz-target")
            .unwrap()
            .split_once('.')
            .unwrap();
        let service = if service.starts_with("DynamoDB") {
            Service::Table
        } else {
            Service::FallbackQueue
        };
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        Self {
            service,
            operation: operation.to_owned(),
            body,
        }
    }
}

/// The connections of one execution environment.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    aws: Arc<Aws>,
    /// Those that died while the environment was frozen, which it does not know.
    dead: Arc<Mutex<Vec<Service>>>,
}

impl Connections {
    pub(crate) fn new(aws: &Arc<Aws>) -> Self {
        Self {
            aws: aws.clone(),
            dead: Arc::default(),
        }
    }

    /// Lets the pooled connections die: what is sent over them next gets no answer.
    pub(crate) fn die(&self) {
        *self.dead.lock().unwrap() = vec![Service::Table, Service::FallbackQueue];
    }

    pub(crate) fn client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    fn is_dead(&self, service: Service) -> bool {
        let mut dead = self.dead.lock().unwrap();
        let before = dead.len();
        dead.retain(|it| *it != service);
        dead.len() < before
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Call::of(&request);
        if self.is_dead(call.service) {
            return HttpConnectorFuture::new(pending());
        }
        HttpConnectorFuture::new(self.aws.clone().call(call))
    }
}
