//! A message that is left in the queue, and why.

use serde::Serialize;
use sha2::{Digest, Sha256};
use storage::{TableError, schema::Item};

/// A message that is left in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// As SQS names it.
    pub message_id: String,
    /// A short hash of the item's key; `None` where the message is no item.
    pub key: Option<String>,
    /// Why it is left.
    pub cause: Cause,
}

/// Why a message is left in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It is not one that a receiver sends. It may be somebody's all the same.
    NotAMessage,
    /// A part of its item is not in the table yet.
    PartMissing,
    /// The table did not take it.
    Table(TableError),
}

impl Left {
    /// What is logged of it: no value of the item, and not its key, in which a provider's own ids stand.
    pub(crate) fn line(&self) -> Line<'_> {
        let (cause, code) = match &self.cause {
            Cause::NotAMessage => ("not_a_message", None),
            Cause::PartMissing => ("part_missing", None),
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

/// The first 16 hexadecimal digits of the SHA-256 of `pk#sk`: `printf %s "$pk#$sk" | sha256sum | cut -c1-16`.
pub(crate) fn short_hash(item: &Item) -> Option<String> {
    let attribute = |name: &str| item.get(name)?.as_s().ok();
    let digest: [u8; 32] =
        Sha256::digest(format!("{}#{}", attribute("pk")?, attribute("sk")?)).into();
    let first = digest.first_chunk()?;
    Some(format!("{:016x}", u64::from_be_bytes(*first)))
}
