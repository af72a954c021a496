//! Fake SQS queue in memory, over HTTP (AWS JSON 1.0), with the same validation as SQS.
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
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The most bytes of a message, and of a batch.
const MAX_BYTES: usize = 1_048_576;
/// The most messages of a batch.
const MAX_MESSAGES: usize = 10;
/// The code of a message that SQS would have taken, and could not.
const FAILED: &str = "InternalError";

/// An SQS with one queue, on 127.0.0.1. Ends when it is dropped.
#[derive(Debug)]
pub struct Sqs {
    address: SocketAddr,
    queue: Arc<Queue>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Mutex<VecDeque<Message>>,
    ids: AtomicUsize,
    sent: AtomicUsize,
    /// Every n-th sent message fails; none if it is 0.
    failing: AtomicUsize,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Message {
    /// As SQS names it.
    pub id: String,
    /// Its text.
    pub body: String,
    /// How often it was delivered.
    pub receives: usize,
}

impl Sqs {
    /// Starts it.
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

    /// Puts a message into the queue, whatever it is.
    pub fn push(&self, body: &str) {
        self.queue.push(body);
    }

    /// The messages that wait.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.queue
            .messages
            .lock()
            .unwrap()
            .iter()
            .cloned()
            .collect()
    }

    /// Delivers a batch as Lambda does: messages that the consumer reports as failed return to the
    /// queue, and the others are deleted.
    pub async fn deliver<R: Into<SqsBatchResponse>>(
        &self,
        most: usize,
        consumer: impl AsyncFnOnce(SqsEvent) -> R,
    ) {
        let batch: Vec<Message> = {
            let mut messages = self.queue.messages.lock().unwrap();
            let most = most.min(messages.len());
            messages
                .drain(..most)
                .map(|message| Message {
                    receives: message.receives + 1,
                    ..message
                })
                .collect()
        };
        let mut event = SqsEvent::default();
        event.records = batch.iter().map(Message::record).collect();
        let response: SqsBatchResponse = consumer(event).await.into();
        let failed: HashSet<_> = response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect();
        let again = batch
            .into_iter()
            .filter(|message| failed.contains(&message.id));
        self.queue.messages.lock().unwrap().extend(again);
    }
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
        record
    }
}

impl Queue {
    fn send_batch(&self, request: &Value) -> Result<Value, &'static str> {
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = request["Entries"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let entries = entries
            .iter()
            .map(|entry| (text(entry, "Id"), text(entry, "MessageBody")));
        let entries: Vec<(String, String)> = entries.collect();
        check(&entries)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, body) in entries {
            match self.send(&body) {
                Ok(message) => successful.push(json!({ "Id": id, "MessageId": message })),
                Err(code) => {
                    failed.push(json!({ "Id": id, "Code": code, "SenderFault": code != FAILED }));
                }
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    fn send(&self, body: &str) -> Result<String, &'static str> {
        if body.is_empty() || body.len() > MAX_BYTES {
            return Err("InvalidParameterValue");
        }
        if !body.chars().all(is_xml) {
            return Err("InvalidMessageContents");
        }
        let (sent, many) = (
            self.sent.fetch_add(1, Ordering::Relaxed) + 1,
            self.failing.load(Ordering::Relaxed),
        );
        if many > 0 && sent.is_multiple_of(many) {
            Err(FAILED)
        } else {
            Ok(self.push(body))
        }
    }

    fn push(&self, body: &str) -> String {
        let mut messages = self.messages.lock().unwrap();
        let id = format!(
            "00000000-0000-4000-8000-{:012x}",
            self.ids.fetch_add(1, Ordering::Relaxed)
        );
        messages.push_back(Message {
            id: id.clone(),
            body: body.to_owned(),
            receives: 0,
        });
        id
    }
}

/// Whether a batch is one that SQS takes, whatever its messages are.
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
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=80).contains(&id.len()) && id.bytes().all(allowed)
}

/// What SQS takes of Unicode.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

async fn answer(State(queue): State<Arc<Queue>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match headers.get("x-amz-target").map(HeaderValue::as_bytes) {
        Some(b"AmazonSQS.SendMessageBatch") => queue.send_batch(&request),
        Some(b"AmazonSQS.SendMessage") => {
            let sent = queue.send(request["MessageBody"].as_str().unwrap_or_default());
            sent.map(|id| json!({ "MessageId": id }))
        }
        _ => Err("InvalidAction"),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(code) => (
            StatusCode::BAD_REQUEST,
            json!({ "__type": format!("com.amazonaws.sqs#{code}") }),
        ),
    };
    (
        status,
        [(header::CONTENT_TYPE, "application/x-amz-json-1.0")],
        body.to_string(),
    )
        .into_response()
}
