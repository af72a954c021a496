//! Messages that the drain leaves in the queue, and the cause of each.

use serde::Serialize;
use sha2::{Digest, Sha256};
use storage::{InvalidMessage, TableError, schema::Item};

/// A message that is left in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The message id that SQS assigned.
    pub message_id: String,
    /// A short hash of the item's key; `None` if the message is not an item.
    pub key: Option<String>,
    /// The cause for leaving it.
    pub cause: Cause,
}

/// The cause for leaving a message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The message is not an item of this version.
    Invalid(InvalidMessage),
    /// A chunk of its item is not in the table yet.
    ChunkMissing,
    /// The table did not take the item.
    Table(TableError),
}

impl Left {
    /// The log line. It holds no value of the item. It does not hold the key either, because a key
    /// contains the provider's own ids.
    pub(crate) fn line(&self) -> Line<'_> {
        let (cause, code) = match &self.cause {
            Cause::Invalid(InvalidMessage::Malformed) => ("not_a_message", None),
            Cause::Invalid(InvalidMessage::OtherVersion) => ("other_version", None),
            Cause::ChunkMissing => ("chunk_missing", None),
            Cause::Table(error) => ("table", Some(error.word())),
        };
        Line {
            message_id: &self.message_id,
            key: self.key.as_deref(),
            cause,
            code,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Line<'a> {
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    cause: &'static str,
    /// AWS's error code, else the kind of failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

/// The first 16 hexadecimal digits of the SHA-256 of `pk#sk`:
/// `printf %s "$pk#$sk" | sha256sum | cut -c1-16`.
pub(crate) fn short_hash(item: &Item) -> Option<String> {
    let pk = item.get("pk")?.as_s().ok()?;
    let sk = item.get("sk")?.as_s().ok()?;
    let digest: [u8; 32] = Sha256::digest(format!("{pk}#{sk}")).into();
    let first = digest.first_chunk()?;
    Some(format!("{:016x}", u64::from_be_bytes(*first)))
}
