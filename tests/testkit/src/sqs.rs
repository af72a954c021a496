//! Fake SQS queue in memory, with the same validation as SQS, and a server for it (AWS JSON 1.0).
//!
//! Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use models::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::budget;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time::Instant};

/// Maximum size of a message, and of a batch, in bytes.
const MAX_BYTES: usize = 1_048_576;
/// Maximum number of messages in a batch.
const MAX_MESSAGES: usize = 10;
/// Error code of a valid message that SQS failed to store.
const FAILED: &str = "InternalError";

/// Longer than any test: [`Sqs::deliver`] releases failed messages itself.
const VISIBILITY_TIMEOUT: Duration = Duration::from_hours(1);

/// Server on 127.0.0.1 with one queue. Dropping it ends the server.
#[derive(Debug)]
pub struct Sqs {
    address: SocketAddr,
    queue: Arc<Queue>,
    server: JoinHandle<()>,
}

/// A queue.
#[derive(Debug, Default)]
pub struct Queue {
    messages: Mutex<VecDeque<Message>>,
    ids: AtomicUsize,
    sent: AtomicUsize,
    /// Every n-th sent message fails; none if it is 0.
    failing: AtomicUsize,
    pub(crate) arrived: Notify,
}

/// A message in the queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// How often it was received.
    pub receives: usize,
    pub(crate) sent: Instant,
    /// When it was sent, by the clock of SQS.
    sent_at: Timestamp,
    pub(crate) visible: Instant,
}

impl Sqs {
    /// Starts a server with an empty queue.
    pub async fn start() -> Self {
        let queue = Arc::new(Queue::default());
        let app = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&queue));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            queue,
            server,
        }
    }

    /// Its endpoint: `http://127.0.0.1:8002`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fails every n-th message from now on, and accepts the others of its batch. 0 fails none.
    pub fn fail_one_of(&self, many: usize) {
        self.queue.failing.store(many, Ordering::Relaxed);
    }

    /// Puts a message into the queue without validation.
    pub fn push(&self, body: &str) {
        self.queue.push(body, budget::now());
    }

    /// The messages in the queue.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.queue.messages()
    }

    /// Delivers a batch as Lambda does: messages that the consumer reports as failed return to the
    /// queue, and the others are deleted.
    pub async fn deliver<R: Into<SqsBatchResponse>>(
        &self,
        at_most: usize,
        consumer: impl AsyncFnOnce(SqsEvent) -> R,
    ) {
        let mut event = SqsEvent::default();
        event.records = self.queue.receive(at_most, VISIBILITY_TIMEOUT);
        let received: HashSet<_> = ids(&event).collect();
        let response: SqsBatchResponse = consumer(event).await.into();
        let failures = response.batch_item_failures.into_iter();
        let failed = failures.map(|failure| failure.item_identifier).collect();
        self.queue.delete(received.difference(&failed));
        self.queue.release(&failed);
    }
}

/// The ids of the messages of a batch.
pub(crate) fn ids(event: &SqsEvent) -> impl Iterator<Item = String> {
    let messages = event.records.iter();
    messages.filter_map(|message| message.message_id.clone())
}

impl Drop for Sqs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Message {
    fn record(&self) -> SqsMessage {
        let mut record = SqsMessage::default();
        record.message_id = Some(self.id.clone());
        record.body = Some(self.body.clone());
        record.attributes.insert(
            "ApproximateReceiveCount".to_owned(),
            self.receives.to_string(),
        );
        record.attributes.insert(
            "SentTimestamp".to_owned(),
            (self.sent_at.as_micros() / 1_000).to_string(),
        );
        record
    }
}

impl Queue {
    /// Executes an operation. `now` is the time that the clock of SQS shows.
    ///
    /// # Errors
    /// The error code of SQS.
    pub(crate) fn call(
        &self,
        operation: &str,
        request: &Value,
        now: Timestamp,
    ) -> Result<Value, &'static str> {
        match operation {
            "SendMessageBatch" => self.send_batch(request, now),
            "SendMessage" => {
                let id = self.send(&text(request, "MessageBody"), now)?;
                Ok(json!({ "MessageId": id }))
            }
            "GetQueueAttributes" => {
                let messages = self.locked().len().to_string();
                Ok(json!({ "Attributes": { "ApproximateNumberOfMessages": messages } }))
            }
            _ => Err("InvalidAction"),
        }
    }

    /// The messages in the queue.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.locked().iter().cloned().collect()
    }

    /// Receives visible messages. They stay in the queue and become visible again after the
    /// timeout.
    pub(crate) fn receive(&self, at_most: usize, timeout: Duration) -> Vec<SqsMessage> {
        let now = Instant::now();
        let mut messages = self.locked();
        let visible = messages.iter_mut().filter(|message| message.visible <= now);
        let received = visible.take(at_most).map(|message| {
            message.visible = now + timeout;
            message.receives += 1;
            message.record()
        });
        received.collect()
    }

    /// Keeps only some messages.
    pub(crate) fn retain(&self, is_kept: impl FnMut(&Message) -> bool) {
        self.locked().retain(is_kept);
    }

    pub(crate) fn delete<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        let ids: HashSet<_> = ids.collect();
        self.retain(|message| !ids.contains(&message.id));
    }

    /// Makes received messages visible again, behind all others.
    fn release(&self, ids: &HashSet<String>) {
        let mut messages = self.locked();
        let now = Instant::now();
        let released: Vec<_> = messages
            .iter()
            .filter(|message| ids.contains(&message.id))
            .cloned()
            .collect();
        messages.retain(|message| !ids.contains(&message.id));
        messages.extend(released.into_iter().map(|message| Message {
            visible: now,
            ..message
        }));
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap()
    }

    fn send_batch(&self, request: &Value, now: Timestamp) -> Result<Value, &'static str> {
        let entries = request["Entries"].as_array().into_iter().flatten();
        let entries: Vec<_> = entries
            .map(|entry| (text(entry, "Id"), text(entry, "MessageBody")))
            .collect();
        check(&entries)?;
        let mut successful = Vec::new();
        let mut failed = Vec::new();
        for (id, body) in entries {
            match self.send(&body, now) {
                Ok(message) => successful.push(json!({ "Id": id, "MessageId": message })),
                Err(code) => {
                    failed.push(json!({ "Id": id, "Code": code, "SenderFault": code != FAILED }));
                }
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    fn send(&self, body: &str, at: Timestamp) -> Result<String, &'static str> {
        if body.is_empty() || body.len() > MAX_BYTES {
            return Err("InvalidParameterValue");
        }
        if !body.chars().all(is_xml) {
            return Err("InvalidMessageContents");
        }
        let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let failing = self.failing.load(Ordering::Relaxed);
        if failing > 0 && sent.is_multiple_of(failing) {
            return Err(FAILED);
        }
        Ok(self.push(body, at))
    }

    fn push(&self, body: &str, at: Timestamp) -> String {
        let mut messages = self.locked();
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let now = Instant::now();
        messages.push_back(Message {
            id: id.clone(),
            body: body.to_owned(),
            receives: 0,
            sent: now,
            sent_at: at,
            visible: now,
        });
        self.arrived.notify_waiters();
        id
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// Validates a batch, but not its messages.
fn check(entries: &[(String, String)]) -> Result<(), &'static str> {
    let ids: HashSet<_> = entries.iter().map(|(id, _)| id).collect();
    if entries.is_empty() {
        return Err("EmptyBatchRequest");
    }
    if entries.len() > MAX_MESSAGES {
        return Err("TooManyEntriesInBatchRequest");
    }
    if ids.len() < entries.len() {
        return Err("BatchEntryIdsNotDistinct");
    }
    if !ids.iter().all(|id| is_id(id)) {
        return Err("InvalidBatchEntryId");
    }
    if entries.iter().map(|(_, body)| body.len()).sum::<usize>() > MAX_BYTES {
        return Err("BatchRequestTooLong");
    }
    Ok(())
}

fn is_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    (1..=80).contains(&id.len())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether SQS accepts a character.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

async fn answer(State(queue): State<Arc<Queue>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = serde_json::from_slice(&body).unwrap_or_default();
    let target = headers.get("x-amz-target").map(HeaderValue::to_str);
    let operation = target.and_then(|target| target.ok()?.strip_prefix("AmazonSQS."));
    let (status, body) = match queue.call(operation.unwrap_or_default(), &request, budget::now()) {
        Ok(body) => (StatusCode::OK, body),
        Err(code) => {
            let error = json!({ "__type": format!("com.amazonaws.sqs#{code}") });
            (StatusCode::BAD_REQUEST, error)
        }
    };
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, content_type, body.to_string()).into_response()
}
