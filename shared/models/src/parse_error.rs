//! The reasons why a body cannot be read.

use serde::{Deserialize, Serialize};

/// Why a body could not be read. It is kept all the same, exactly, with this beside it.
///
/// Never holds a value from the body: its text goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ParseError {
    /// API Gateway flagged the body as base64, and it is not.
    #[error("the body is flagged as base64 and is not")]
    NotBase64,
    /// Line and column count from 1, in bytes.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where the JSON ends to be JSON.
        line: usize,
        /// Bytes into that line.
        column: usize,
    },
    /// Well formed, but of no shape that this provider is known to send.
    #[error("the body has none of the shapes that {provider} sends")]
    UnknownShape {
        /// The provider whose reader said so.
        provider: String,
    },
    /// A field that every event of its shape has is missing, empty or of another type.
    #[error("`{field}` is missing (every {shape} has it)")]
    Missing {
        /// What was being read, like `webhooks v2 event`.
        shape: String,
        /// The path of the field, like `meta.entity`.
        field: String,
    },
    /// An attribute of the event would be longer than what keys hold.
    #[error("the event's `{attribute}` is too long (at most {limit} bytes)")]
    TooLong {
        /// The CloudEvents attribute.
        attribute: String,
        /// In bytes.
        limit: usize,
    },
    /// Objects, lists or brackets nest deeper than any consumer reads.
    #[error("the body nests too deep (at most {limit} levels)")]
    TooDeep {
        /// In levels.
        limit: usize,
    },
    /// More form fields than memory should be spent on.
    #[error("the body has too many fields (at most {limit})")]
    TooManyFields {
        /// In fields.
        limit: usize,
    },
    /// More events than the table can take in time.
    #[error("the body carries too many events (at most {limit})")]
    TooManyEvents {
        /// In events.
        limit: usize,
    },
    /// Well formed and of a known shape, and yet there is no event in it.
    #[error("the body carries no event")]
    NoEvent,
    /// The reader panicked. A defect of ours: the delivery is kept, and can be read again once it is mended.
    #[error("the reader panicked")]
    Panicked,
}

impl ParseError {
    /// The reason in one word, as `reason` has it in JSON and in the log: `not_json`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotBase64 => "not_base64",
            Self::NotJson { .. } => "not_json",
            Self::UnknownShape { .. } => "unknown_shape",
            Self::Missing { .. } => "missing",
            Self::TooLong { .. } => "too_long",
            Self::TooDeep { .. } => "too_deep",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::NoEvent => "no_event",
            Self::Panicked => "panicked",
        }
    }
}
