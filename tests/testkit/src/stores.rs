//! Table and queue in this process, for tests in virtual time: a test sets the result of each call.

use crate::{
    sdk::{ServiceRequest, refused, response, transport},
    sqs::Queue,
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use serde_json::{Value, json};
use std::{
    fmt,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use storage::{Client, Settings, Store, Table, budget};
use tokio::time::Instant;

pub use crate::sdk::Service;

/// Result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// There is no response.
    Hangs,
    /// The connection is refused.
    Refused,
    /// AWS responds 400 with this error code.
    Fails(&'static str),
    /// The store executes the request after this time.
    Answers(Duration),
}

/// The store executes the request immediately.
pub const ANSWERED: Fate = Fate::Answers(Duration::ZERO);

/// A call of a store.
#[derive(Debug, Clone)]
pub struct Call {
    /// The store.
    pub service: Service,
    /// The name of the operation: `PutItem`.
    pub operation: String,
    /// How many calls this store had before.
    pub number: usize,
    /// The time since the stores were made.
    pub at: Duration,
}

type Decide = dyn Fn(&Call) -> Fate + Send + Sync;

/// A table and a queue in this process.
#[derive(Clone)]
pub struct Stores {
    started: Instant,
    decide: Arc<Decide>,
    /// Number of bytes that this machine signs and sends in a second, for all calls together.
    bytes_a_second: Option<usize>,
    machine: Arc<tokio::sync::Mutex<()>>,
    calls: Arc<Mutex<Vec<Call>>>,
    queue: Arc<Queue>,
}

impl Stores {
    /// Stores whose calls have the results that `decide` returns.
    #[must_use]
    pub fn new(decide: impl Fn(&Call) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            started: Instant::now(),
            decide: Arc::new(decide),
            bytes_a_second: None,
            machine: Arc::default(),
            calls: Arc::default(),
            queue: Arc::default(),
        }
    }

    /// The same with a client that signs and sends this number of bytes in a second.
    #[must_use]
    pub fn on_a_machine_of(self, bytes_a_second: usize) -> Self {
        Self {
            bytes_a_second: Some(bytes_a_second),
            ..self
        }
    }

    /// How often a store was called.
    #[must_use]
    pub fn calls(&self, service: Service) -> usize {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.service == service)
            .count()
    }

    /// The messages that the queue took, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        let messages = self.queue.messages().into_iter();
        messages.map(|message| message.body).collect()
    }

    /// A receiver's store over these.
    #[must_use]
    pub fn store(&self) -> Store {
        let mut settings = settings();
        settings.fallback_queue = Some("http://127.0.0.1:1/0/spool".to_owned());
        settings.sqs_endpoint = Some("http://127.0.0.1:1".to_owned());
        Store::new(&Client::with_transport(self.http()), &settings)
    }

    /// A receiver's store that has no queue.
    #[must_use]
    pub fn store_without_queue(&self) -> Store {
        Store::new(&Client::with_transport(self.http()), &settings())
    }

    /// The drain's table.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::new(&Client::background_with_transport(self.http()), &settings())
    }

    fn http(&self) -> SharedHttpClient {
        transport(self.clone())
    }

    fn record(&self, request: &ServiceRequest) -> Call {
        let call = Call {
            service: request.service,
            operation: request.operation.clone(),
            number: self.calls(request.service),
            at: self.started.elapsed(),
        };
        self.calls.lock().unwrap().push(call.clone());
        call
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let bytes = request.body().bytes().unwrap().len();
        let request = ServiceRequest::from(&request);
        let call = self.record(&request);
        if let Some(bytes_a_second) = self.bytes_a_second {
            self.send(bytes, bytes_a_second).await;
        }
        match (self.decide)(&call) {
            Fate::Hangs => pending().await,
            Fate::Refused => Err(refused()),
            Fate::Fails(code) => Ok(response(Err(code))),
            Fate::Answers(after) => {
                tokio::time::sleep(after).await;
                Ok(response(self.execute(&request)))
            }
        }
    }

    /// Takes the time that sending a request takes, in turns with the other requests.
    async fn send(&self, bytes: usize, bytes_a_second: usize) {
        // A turn of less than some milliseconds would be rounded up to one.
        const TURN: usize = 100_000;
        let turn = Duration::from_secs(1) * u32::try_from(TURN).unwrap()
            / u32::try_from(bytes_a_second).unwrap();
        for _ in 0..bytes / TURN {
            let _turn = self.machine.lock().await;
            tokio::time::sleep(turn).await;
        }
    }

    fn execute(&self, request: &ServiceRequest) -> Result<Value, &'static str> {
        match (request.service, &*request.operation) {
            (Service::Table, "GetItem") => {
                Ok(json!({ "Item": { "pk": { "S": "pk" }, "sk": { "S": "sk" } } }))
            }
            (Service::Table, _) => Ok(json!({})),
            (Service::Queue, operation) => self.queue.call(operation, &request.body, budget::now()),
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl HttpConnector for Stores {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

fn settings() -> Settings {
    Settings::local("hookkeeper", "http://127.0.0.1:1".to_owned())
}
