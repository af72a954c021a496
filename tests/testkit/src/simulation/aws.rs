//! Simulated AWS endpoint of the SDK: it takes requests in AWS JSON and responds late, with an
//! error or never, according to the faults.

use super::{dynamodb::Table, world::World};
use crate::{
    sdk::{Service, ServiceRequest, refused, response, transport},
    sqs::Queue,
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use serde_json::{Value, json};
use std::{
    future::pending,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

/// How a service fails.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// There is no response.
    Hangs,
    /// The connection is refused.
    Refuses,
    /// It executes the request within this number of milliseconds, even if the caller gives up.
    Slow(Range<u64>),
}

/// When a service fails, and how.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) service: Service,
    pub(crate) during: Range<Duration>,
    pub(crate) failure: Failure,
}

/// Latency of a service without a fault, in milliseconds. One call in a thousand has [`TAIL`].
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

    async fn call(
        self: Arc<Self>,
        request: ServiceRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let latency = match self.failure(request.service) {
            Some(Failure::Hangs) => pending().await,
            Some(Failure::Refuses) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(refused());
            }
            Some(Failure::Slow(latency)) => latency.clone(),
            None if self.world.one_in(1_000) => TAIL,
            None => LATENCY,
        };
        let way = self.world.millis(&latency) / 2;
        // In its own task, because a service continues when the caller gives up.
        let served = tokio::spawn(async move {
            tokio::time::sleep(way).await;
            let result = self.execute(&request);
            tokio::time::sleep(way).await;
            result
        });
        Ok(response(served.await.unwrap()))
    }

    fn execute(&self, request: &ServiceRequest) -> Result<Value, &'static str> {
        let ServiceRequest {
            operation, body, ..
        } = request;
        match request.service {
            Service::Table => self.table.call(operation, body, self.world.now()),
            Service::Queue => {
                let sent = self.queue.call(operation, body)?;
                assert_eq!(sent["Failed"], json!([]), "SQS refuses a message");
                Ok(sent)
            }
        }
    }
}

/// The connections of one execution environment.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    aws: Arc<Aws>,
    /// Services whose pooled connection died while the environment was frozen.
    dead: Arc<Mutex<Vec<Service>>>,
}

impl Connections {
    pub(crate) fn new(aws: &Arc<Aws>) -> Self {
        Self {
            aws: aws.clone(),
            dead: Arc::default(),
        }
    }

    /// Lets the pooled connections die: the next request over each of them gets no response.
    pub(crate) fn die(&self) {
        *self.dead.lock().unwrap() = vec![Service::Table, Service::Queue];
    }

    pub(crate) fn client(&self) -> SharedHttpClient {
        transport(self.clone())
    }

    fn is_dead(&self, service: Service) -> bool {
        let mut dead = self.dead.lock().unwrap();
        let before = dead.len();
        dead.retain(|dead| *dead != service);
        dead.len() < before
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = ServiceRequest::from(&request);
        if self.is_dead(request.service) {
            return HttpConnectorFuture::new(pending());
        }
        HttpConnectorFuture::new(self.aws.clone().call(request))
    }
}
