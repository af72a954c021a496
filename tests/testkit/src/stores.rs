//! Table and queue in this process, for tests in virtual time: a test sets the result of each call.
//!
//! Over real sockets a paused clock would fire timeouts that did not happen.

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
use serde_json::{Value, json};
use std::{
    fmt,
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use storage::{Client, Settings, Store, Table};
use tokio::time::Instant;

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

/// Which store is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    Table,
    /// SQS.
    Queue,
}

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
    messages: Arc<Mutex<Vec<String>>>,
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
            messages: Arc::default(),
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
        self.messages.lock().unwrap().clone()
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
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    fn called(&self, request: &HttpRequest) -> Call {
        let (service, operation) = request
            .headers()
            .get("x-amz-target")
            .unwrap()
            .split_once('.')
            .unwrap();
        let service = if service.starts_with("DynamoDB") {
            Service::Table
        } else {
            Service::Queue
        };
        let number = self.calls(service);
        let call = Call {
            service,
            operation: operation.to_owned(),
            number,
            at: self.started.elapsed(),
        };
        self.calls.lock().unwrap().push(call.clone());
        call
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let call = self.called(&request);
        let body = request.body().bytes().unwrap();
        if let Some(bytes_a_second) = self.bytes_a_second {
            self.send(body.len(), bytes_a_second).await;
        }
        match (self.decide)(&call) {
            Fate::Hangs => pending().await,
            Fate::Refused => {
                let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
                Err(ConnectorError::io(refused.into()))
            }
            Fate::Fails(code) => Ok(response(
                400,
                &json!({ "__type": format!("com.amazonaws#{code}") }),
            )),
            Fate::Answers(after) => {
                tokio::time::sleep(after).await;
                Ok(response(200, &self.done(&call, body)))
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

    fn done(&self, call: &Call, body: &[u8]) -> Value {
        match (call.service, &*call.operation) {
            (Service::Table, "GetItem") => {
                json!({ "Item": { "pk": { "S": "pk" }, "sk": { "S": "sk" } } })
            }
            (Service::Table, _) => json!({}),
            (Service::Queue, _) => {
                let request: Value = serde_json::from_slice(body).unwrap();
                let mut taken = Vec::new();
                for entry in request["Entries"].as_array().unwrap() {
                    self.messages
                        .lock()
                        .unwrap()
                        .push(entry["MessageBody"].as_str().unwrap().to_owned());
                    taken.push(json!({ "Id": entry["Id"], "MessageId": "1" }));
                }
                json!({ "Successful": taken, "Failed": [] })
            }
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

fn response(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::new(
        StatusCode::try_from(status).unwrap(),
        SdkBody::from(body.to_string()),
    )
}
