//! The reasons why a body cannot be parsed.

/// The reason why a body, or one item of it, could not be parsed. It is stored with the exact body.
///
/// It never holds a value from the body, because its text is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The source contains `#`, which separates it from the subject in a key. No account id that a
    /// provider assigns has one.
    #[error("the event's `source` contains `#`")]
    SourceWithHash,
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
    #[error("the parser panicked")]
    Panicked,
}

impl ParseError {
    /// The code of the reason, as in an item's `reason` and in the log: `not_json`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotBase64 => "not_base64",
            Self::NotJson { .. } => "not_json",
            Self::UnknownShape { .. } => "unknown_shape",
            Self::Missing { .. } => "missing",
            Self::TooLong { .. } => "too_long",
            Self::SourceWithHash => "source_with_hash",
            Self::TooDeep { .. } => "too_deep",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::NoEvent => "no_event",
            Self::Panicked => "panicked",
        }
    }
}

/// The reason for quarantine as it is stored: a later version may know other reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code, like `not_json`.
    pub code: String,
    /// One sentence. It holds no value from the body.
    pub message: String,
}

impl From<&ParseError> for Reason {
    fn from(error: &ParseError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
        }
    }
}
