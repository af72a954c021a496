//! The fallback queue: encoded items that the table did not accept in time.
//!
//! A message is `{"v":1,"item":{...},"after":[{"pk","sk"}]}`: an item as DynamoDB JSON, and the keys
//! of what must be in the table first. It is compressed with zlib, and in base64, because SQS
//! accepts only XML characters. An item has at most 400 KB, so its message always fits the limit of 1 MiB.
//! The drain puts it into the table and needs no provider for that.

use crate::{
    Client, Failure, Settings,
    budget::{ATTEMPT, ATTEMPT_PER_MEGABYTE, ATTEMPTS, TIME_BUDGET, attempt_to_send},
    schema::{self, Item, Key},
};
use aws_sdk_sqs::{
    error::SdkError, operation::send_message_batch::SendMessageBatchError,
    types::SendMessageBatchRequestEntry,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{
    io::{Read, Write},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::Instant;

/// Limits of a batch: the total size of its messages in bytes, and the number of messages.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_BATCH_BYTES: usize = 1_000_000;
const MAX_BATCH_MESSAGES: usize = 10;
/// Maximum size of the decompressed JSON of a message. An item of 400 KB needs 2.4 MB if JSON
/// writes each of its bytes as six.
const MAX_JSON_BYTES: u64 = 8_000_000;
/// How many batches are sent concurrently.
const CONCURRENT_BATCHES: usize = 8;

const _: () = assert!(
    ATTEMPT.as_millis() + ATTEMPT_PER_MEGABYTE.as_millis() * CONCURRENT_BATCHES as u128
        <= TIME_BUDGET.as_millis(),
    "a time budget holds the longest attempt"
);

/// SQS queue that buffers items while the table is unavailable.
#[derive(Debug, Clone)]
pub struct FallbackQueue {
    connection: Client,
    settings: Settings,
    /// Created at the first use: that takes a millisecond of a cold start, and most environments do
    /// not need it.
    client: OnceLock<aws_sdk_sqs::Client>,
    url: String,
}

/// An encoded item in the fallback queue. A clone shares its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(Arc<str>);

/// The outcome of sending messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// For each message, whether SQS confirmed in time that it accepted the message.
    pub taken: Vec<bool>,
    /// The failure of the queue, if any.
    pub failure: Option<Failure>,
}

/// The outcome of one batch.
#[derive(Debug)]
struct SentBatch {
    /// The indexes of the messages that SQS accepted.
    taken: Vec<usize>,
    failure: Option<Failure>,
}

impl Sent {
    fn add(&mut self, batch: SentBatch) {
        for index in batch.taken {
            if let Some(is_taken) = self.taken.get_mut(index) {
                *is_taken = true;
            }
        }
        if let Some(failure) = batch.failure {
            self.failure = Some(failure.after(self.failure.take()));
        }
    }
}

impl SentBatch {
    fn failed(failure: Failure) -> Self {
        Self {
            taken: Vec::new(),
            failure: Some(failure),
        }
    }
}

/// Why a message is not an item of this version. It must stay in the queue: it may be somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// It is not JSON in zlib in base64, or not an envelope.
    #[error("the message is not an item in base64, zlib and DynamoDB JSON")]
    Malformed,
    /// The `v` of the message or of the item, or the item's `kind`, is not known.
    #[error("the message is of another version of Hookkeeper")]
    OtherVersion,
}

/// The member that every version of a message has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The version of the message's form.
const VERSION: u32 = 1;

/// A message before it is compressed.
#[derive(Serialize, Deserialize)]
struct Envelope {
    v: u32,
    /// The item, as DynamoDB JSON.
    item: serde_dynamo::Item,
    /// The keys of the items that must be in the table first.
    #[serde(default)]
    after: Vec<Key>,
}

/// An item from a message.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedItem {
    /// The item.
    pub item: Item,
    /// The keys of the items that must be in the table first: its chunks.
    pub after: Vec<Key>,
}

impl Message {
    /// Encodes an item.
    #[must_use]
    pub fn from_item(item: &Item) -> Self {
        let envelope = Envelope {
            v: VERSION,
            item: item.clone().into(),
            after: schema::chunk_keys(item),
        };
        let json = serde_json::to_vec(&envelope).unwrap_or_default();
        // Compressing again would cost time and save nothing.
        let is_compressed = ["compressed", "compressedbody"]
            .into_iter()
            .any(|name| item.contains_key(name));
        let compression = if is_compressed {
            Compression::none()
        } else {
            Compression::fast()
        };
        let mut zlib = ZlibEncoder::new(Vec::new(), compression);
        // Writing to memory does not fail.
        zlib.write_all(&json).ok();
        Self(STANDARD.encode(zlib.finish().unwrap_or_default()).into())
    }

    /// Creates a message from the body that SQS delivered.
    #[must_use]
    pub fn from_body(body: String) -> Self {
        Self(body.into())
    }

    /// The text of the message body.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Decodes the item.
    ///
    /// # Errors
    /// [`InvalidMessage`]: [`Message::from_item`] of this version did not make this message.
    pub fn decode(&self) -> Result<QueuedItem, InvalidMessage> {
        let zlib = STANDARD
            .decode(self.text())
            .map_err(|_| InvalidMessage::Malformed)?;
        let mut json = Vec::new();
        ZlibDecoder::new(&*zlib)
            .take(MAX_JSON_BYTES)
            .read_to_end(&mut json)
            .map_err(|_| InvalidMessage::Malformed)?;
        let Version { v } = serde_json::from_slice(&json).map_err(|_| InvalidMessage::Malformed)?;
        if v != VERSION {
            return Err(InvalidMessage::OtherVersion);
        }
        let envelope: Envelope =
            serde_json::from_slice(&json).map_err(|_| InvalidMessage::Malformed)?;
        let item = Item::from(envelope.item);
        if !schema::is_known(&item) {
            return Err(InvalidMessage::OtherVersion);
        }
        Ok(QueuedItem {
            item,
            after: envelope.after,
        })
    }
}

impl FallbackQueue {
    /// Creates the fallback queue, if the settings have one. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Option<Self> {
        Some(Self {
            connection: client.clone(),
            settings: settings.clone(),
            client: OnceLock::new(),
            url: settings.fallback_queue.clone()?,
        })
    }

    /// Sends messages until a deadline. If SQS accepts some messages of a batch, the others are
    /// sent again at once.
    pub async fn send(&self, messages: &[Message], deadline: Instant) -> Sent {
        let mut sent = Sent {
            taken: vec![false; messages.len()],
            failure: None,
        };
        for _ in 0..ATTEMPTS {
            let batches = batches(messages, &sent.taken);
            let attempt = attempt_to_send(self.connection.attempt, bytes_at_once(&batches));
            let batches =
                stream::iter(batches).map(|batch| self.send_until(deadline, attempt, batch));
            let batches: Vec<SentBatch> =
                batches.buffer_unordered(CONCURRENT_BATCHES).collect().await;
            let is_none_taken = batches.iter().all(|batch| batch.taken.is_empty());
            for batch in batches {
                sent.add(batch);
            }
            if is_none_taken {
                break;
            }
        }
        sent
    }

    async fn send_until(
        &self,
        deadline: Instant,
        attempt: Duration,
        batch: Vec<(usize, Message)>,
    ) -> SentBatch {
        match tokio::time::timeout_at(deadline, self.send_batch(attempt, batch)).await {
            Ok(sent) => sent,
            Err(_) => SentBatch::failed(Failure::timeout()),
        }
    }

    /// Sends one batch. `attempt` is the timeout of each attempt.
    async fn send_batch(&self, attempt: Duration, batch: Vec<(usize, Message)>) -> SentBatch {
        let count = batch.len();
        let entries = batch.into_iter().map(|(index, message)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.text())
                .build()
        });
        let entries = match entries.collect() {
            Ok(entries) => entries,
            Err(error) => {
                return SentBatch::failed(Failure::from(&SdkError::<SendMessageBatchError>::from(
                    error,
                )));
            }
        };
        let client = self
            .client
            .get_or_init(|| self.connection.sqs(&self.settings));
        let send = client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        let timeout = self.connection.timeout(attempt);
        let send = send
            .customize()
            .config_override(aws_sdk_sqs::Config::builder().timeout_config(timeout));
        let answer = match send.send().await {
            Ok(answer) => answer,
            Err(error) => return SentBatch::failed(Failure::from(&error)),
        };
        let taken: Vec<usize> = answer
            .successful
            .iter()
            .filter_map(|entry| entry.id.parse().ok())
            .collect();
        let failure = match answer.failed.first() {
            Some(failed) => Some(Failure::refused(&failed.code)),
            None if taken.len() < count => Some(Failure::bad_answer()),
            None => None,
        };
        SentBatch { taken, failure }
    }
}

/// Groups the messages that are not accepted yet into batches within the limits of SQS, in order
/// and with their indexes. A single message is always within the limits.
fn batches(messages: &[Message], taken: &[bool]) -> Vec<Vec<(usize, Message)>> {
    let mut batches: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for ((index, message), is_taken) in messages.iter().enumerate().zip(taken) {
        if *is_taken {
            continue;
        }
        bytes += message.0.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_MESSAGES && bytes <= MAX_BATCH_BYTES => {
                batch.push((index, message.clone()));
            }
            _ => {
                bytes = message.0.len();
                batches.push(vec![(index, message.clone())]);
            }
        }
    }
    batches
}

/// The maximum number of bytes of these batches that are sent concurrently.
fn bytes_at_once(batches: &[Vec<(usize, Message)>]) -> usize {
    let bytes: usize = batches
        .iter()
        .flatten()
        .map(|(_, message)| message.0.len())
        .sum();
    bytes.min(CONCURRENT_BATCHES * MAX_BATCH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

    /// The size of the largest item in bytes.
    const MAX_ITEM_BYTES: usize = 400_000;

    fn item(data: &str) -> Item {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        Item::from([
            ("kind".to_owned(), text("event")),
            ("v".to_owned(), AttributeValue::N("1".to_owned())),
            ("moved".to_owned(), AttributeValue::Bool(true)),
            (
                "pk".to_owned(),
                AttributeValue::S("closer#customer/1".to_owned()),
            ),
            ("data".to_owned(), AttributeValue::S(data.to_owned())),
            (
                "body".to_owned(),
                AttributeValue::B(Blob::new([0, 255, b'<'])),
            ),
            (
                "expires".to_owned(),
                AttributeValue::N("1795255200".to_owned()),
            ),
        ])
    }

    #[test]
    fn an_item_comes_out_of_a_message_as_it_went_in() {
        let item = item("\u{0} <é> \u{ffff} \u{1f600}");
        let message = Message::from_item(&item);
        assert!(
            message
                .0
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        );
        let queued = QueuedItem {
            item: item.clone(),
            after: Vec::new(),
        };
        assert_eq!(message.decode(), Ok(queued));
        for garbage in [
            "",
            "no base64",
            "YWJj",
            &STANDARD.encode([0x78, 0x01, 1, 0]),
        ] {
            assert_eq!(
                Message::from_body(garbage.to_owned()).decode(),
                Err(InvalidMessage::Malformed),
                "{garbage}"
            );
        }
    }

    #[test]
    fn a_message_is_unpacked_up_to_what_the_largest_item_needs() {
        let largest = item(&"\u{1}".repeat(MAX_ITEM_BYTES));
        let message = Message::from_item(&largest);
        assert_eq!(message.decode().map(|queued| queued.item), Ok(largest));
        // A valid message of 1 MB that decompresses to 100 MB.
        let bomb = Message::from_item(&item(&" ".repeat(100_000_000)));
        assert!(bomb.text().len() < 1_000_000);
        assert_eq!(bomb.decode(), Err(InvalidMessage::Malformed));
    }

    #[test]
    fn batches_are_what_sqs_takes() {
        let sizes = |bodies: &[usize]| -> Vec<usize> {
            let messages: Vec<_> = bodies
                .iter()
                .map(|bytes| Message::from_body("x".repeat(*bytes)))
                .collect();
            batches(&messages, &vec![false; bodies.len()])
                .iter()
                .map(Vec::len)
                .collect()
        };
        assert_eq!(sizes(&[1; 25]), [10, 10, 5]);
        assert_eq!(
            sizes(&[MAX_BATCH_BYTES / 2, MAX_BATCH_BYTES / 2, 1, MAX_BATCH_BYTES]),
            [2, 1, 1]
        );
        assert!(sizes(&[]).is_empty());

        let messages = ["a", "b", "c"].map(|text| Message::from_body(text.to_owned()));
        let left = batches(&messages, &[true, false, true]);
        assert_eq!(left, [[(1, messages[1].clone())]]);
    }
}
