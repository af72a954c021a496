//! The reasons why a body cannot be parsed.

use serde::{Deserialize, Serialize};

/// The reason why a body could not be parsed. The exact body is stored with this reason.
///
/// It never holds a value from the body, because its text is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ParseError {
    /// API Gateway flagged the body as base64, but it is not base64.
    #[error("the body is flagged as base64 and is not")]
    NotBase64,
    /// The body is not JSON. Line and column are counted from 1, in bytes.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line where the body stops being JSON.
        line: usize,
        /// The position in that line, in bytes.
        column: usize,
    },
    /// The body is well formed, but has no shape that this provider is known to send.
    #[error("the body has none of the shapes that {provider} sends")]
    UnknownShape {
        /// The provider whose parser returned the error.
        provider: String,
    },
    /// A field that every event of its shape has is missing, empty or of another type.
    #[error("`{field}` is missing (every {shape} has it)")]
    Missing {
        /// The shape that was parsed, like `webhooks v2 event`.
        shape: String,
        /// The path of the field, like `meta.entity`.
        field: String,
    },
    /// An attribute of the event is longer than its limit in a stored item.
    #[error("the event's `{attribute}` is too long (at most {limit} bytes)")]
    TooLong {
        /// The CloudEvents attribute.
        attribute: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Objects, lists or brackets nest deeper than any consumer can parse.
    #[error("the body nests too deep (at most {limit} levels)")]
    TooDeep {
        /// The limit in levels.
        limit: usize,
    },
    /// The body has more form fields than the limit, which bounds memory use.
    #[error("the body has too many fields (at most {limit})")]
    TooManyFields {
        /// The limit in fields.
        limit: usize,
    },
    /// The body carries more events than the table can take in time.
    #[error("the body carries too many events (at most {limit})")]
    TooManyEvents {
        /// The limit in events.
        limit: usize,
    },
    /// The body is well formed and has a known shape, but it carries no event.
    #[error("the body carries no event")]
    NoEvent,
    /// The parser panicked. This is a defect of ours. The delivery is stored and can be parsed
    /// again after a fix.
    #[error("the reader panicked")]
    Panicked,
}

impl ParseError {
    /// The reason code, as in the `reason` member of the JSON form and in the log: `not_json`.
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
