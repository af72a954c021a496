//! Fake EventBridge in memory, with the limits of `PutEvents`, and a server for it (AWS JSON 1.1).
//!
//! Sources:
//! - <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
//! - <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::HashMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Maximum number of entries of a call.
const MAX_ENTRIES: usize = 10;
/// Size of the entries of a call that is too large, in bytes.
const TOO_LARGE: usize = 1_000_000;
/// Maximum number of characters.
const MAX_SOURCE: usize = 256;
const MAX_DETAIL_TYPE: usize = 128;

/// An entry of a call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    /// The name of the bus.
    pub event_bus_name: String,
    /// The source.
    pub source: String,
    /// The detail type.
    pub detail_type: String,
    /// The time, in seconds since 1970.
    pub time: f64,
    /// The detail, as it was sent.
    pub detail: String,
}

impl Entry {
    /// The detail as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.detail).unwrap()
    }

    /// The `subject` of the CloudEvent, whose `data` may be any JSON.
    #[must_use]
    pub fn subject(&self) -> String {
        let Subject { subject } = serde_json::from_str(&self.detail).unwrap();
        subject
    }

    fn bytes(&self) -> usize {
        14 + self.source.len() + self.detail_type.len() + self.detail.len()
    }

    /// The error code of an entry that EventBridge does not take.
    fn invalid(&self) -> Option<&'static str> {
        if serde_json::from_str::<HashMap<String, &RawValue>>(&self.detail).is_err() {
            return Some("MalformedDetail");
        }
        let is_too_long = self.source.chars().count() > MAX_SOURCE
            || self.detail_type.chars().count() > MAX_DETAIL_TYPE;
        is_too_long.then_some("InvalidArgument")
    }
}

#[derive(Deserialize)]
struct Subject {
    subject: String,
}

/// Result of a valid entry, or of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// EventBridge takes the entry.
    Taken,
    /// EventBridge does not take the entry, and reports this error code.
    Failed(&'static str),
    /// EventBridge takes no entry of the call, and reports this error code.
    CallFailed(&'static str),
}

type Decide = Box<dyn Fn(&Entry, usize) -> Fate + Send + Sync>;

/// Server on 127.0.0.1. Dropping it ends the server.
#[derive(Debug)]
pub struct EventBridge {
    address: SocketAddr,
    state: Arc<Mutex<Bridge>>,
    server: JoinHandle<()>,
}

struct Bridge {
    decide: Decide,
    /// How often an event was sent, by its `subject`.
    tries: HashMap<String, usize>,
    taken: Vec<Entry>,
    calls: Vec<usize>,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bridge").finish_non_exhaustive()
    }
}

impl EventBridge {
    /// Starts a server that takes every valid entry.
    pub async fn start() -> Self {
        Self::start_with(|_, _| Fate::Taken).await
    }

    /// Starts a server. `decide` gets a valid entry and the number of its earlier attempts.
    pub async fn start_with(
        decide: impl Fn(&Entry, usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(Bridge {
            decide: Box::new(decide),
            tries: HashMap::new(),
            taken: Vec::new(),
            calls: Vec::new(),
        }));
        let app = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            state,
            server,
        }
    }

    /// Its endpoint: `http://127.0.0.1:8003`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The entries that it took, in order.
    #[must_use]
    pub fn taken(&self) -> Vec<Entry> {
        self.state.lock().unwrap().taken.clone()
    }

    /// The number of entries of each call.
    #[must_use]
    pub fn calls(&self) -> Vec<usize> {
        self.state.lock().unwrap().calls.clone()
    }
}

impl Drop for EventBridge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Bridge {
    /// Executes `PutEvents`.
    ///
    /// # Errors
    /// The error code of the call.
    fn put(&mut self, entries: Vec<Entry>) -> Result<Value, &'static str> {
        self.calls.push(entries.len());
        let bytes: usize = entries.iter().map(Entry::bytes).sum();
        if entries.is_empty() || entries.len() > MAX_ENTRIES || bytes >= TOO_LARGE {
            return Err("ValidationException");
        }
        let fates: Vec<Fate> = entries.iter().map(|entry| self.fate(entry)).collect();
        let of_call = fates.iter().find_map(|fate| match fate {
            Fate::CallFailed(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = of_call {
            return Err(code);
        }
        let mut results = Vec::new();
        let mut failed = 0;
        for (entry, fate) in entries.into_iter().zip(fates) {
            if let Fate::Failed(code) = fate {
                failed += 1;
                results.push(json!({ "ErrorCode": code, "ErrorMessage": entry.detail }));
                continue;
            }
            self.taken.push(entry);
            results.push(json!({ "EventId": self.taken.len().to_string() }));
        }
        Ok(json!({ "FailedEntryCount": failed, "Entries": results }))
    }

    fn fate(&mut self, entry: &Entry) -> Fate {
        if let Some(code) = entry.invalid() {
            return Fate::Failed(code);
        }
        let tries = self.tries.entry(entry.subject()).or_default();
        *tries += 1;
        (self.decide)(entry, *tries - 1)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    entries: Vec<Entry>,
}

async fn answer(
    State(state): State<Arc<Mutex<Bridge>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert_eq!(headers["x-amz-target"], "AWSEvents.PutEvents");
    let request: PutEvents = serde_json::from_slice(&body).unwrap();
    let (status, body) = match state.lock().unwrap().put(request.entries) {
        Ok(body) => (StatusCode::OK, body),
        Err(code) => (status(code), json!({ "__type": code, "message": code })),
    };
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, content_type, body.to_string()).into_response()
}

/// The HTTP status of a call that failed.
fn status(code: &str) -> StatusCode {
    match code {
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "InternalException" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}
