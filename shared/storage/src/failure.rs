//! Failures of the table and the queue.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::fmt;

/// Maximum length of an error code. AWS's longest codes have about fifty characters.
const MAX_CODE_BYTES: usize = 80;

/// A failed request to a store: the kind of failure, and AWS's error code if there is one. Contains
/// no value of a record, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Refused,
    Timeout,
    Unreachable,
    BadAnswer,
    NotSent,
}

impl Failure {
    /// The store did not respond before the deadline.
    #[must_use]
    pub const fn timeout() -> Self {
        Self {
            kind: FailureKind::Timeout,
            code: None,
        }
    }

    /// The response does not confirm that the store did what was requested.
    #[must_use]
    pub const fn bad_answer() -> Self {
        Self {
            kind: FailureKind::BadAnswer,
            code: None,
        }
    }

    /// The store refused the request, with this error code.
    #[must_use]
    pub fn refused(code: &str) -> Self {
        Self {
            kind: FailureKind::Refused,
            code: checked_code(code),
        }
    }

    /// A response that the SDK reports as an error: a refusal, or a success that the SDK cannot
    /// parse.
    fn of_answer(code: Option<&str>, status: u16) -> Self {
        match code.and_then(checked_code) {
            Some(code) => Self {
                kind: FailureKind::Refused,
                code: Some(code),
            },
            None if status < 300 => Self::bad_answer(),
            None => Self {
                kind: FailureKind::Refused,
                code: Some(format!("http_{status}")),
            },
        }
    }

    /// AWS's error code, like `ThrottlingException`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// One word for a log: AWS's error code, or else the kind of failure, like `timeout`.
    #[must_use]
    pub fn word(&self) -> &str {
        match (&self.code, self.kind) {
            (Some(code), _) => code,
            (None, FailureKind::Refused) => "refused",
            (None, FailureKind::Timeout) => "timeout",
            (None, FailureKind::Unreachable) => "unreachable",
            (None, FailureKind::BadAnswer) => "bad_answer",
            (None, FailureKind::NotSent) => "not_sent",
        }
    }

    /// Returns the later one of two failures, unless it has less information. A timeout does not
    /// replace an earlier failure, because the time for a store ends after each failure. A failure
    /// without a code does not replace one with a code.
    #[must_use]
    pub(crate) fn after(self, earlier: Option<Self>) -> Self {
        let is_end_of_time = self.kind == FailureKind::Timeout;
        match earlier {
            Some(earlier) if is_end_of_time || (earlier.code.is_some() && self.code.is_none()) => {
                earlier
            }
            _ => self,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            FailureKind::Refused => "refused the request",
            FailureKind::Timeout => "did not answer in time",
            FailureKind::Unreachable => "cannot be reached",
            FailureKind::BadAnswer => "gave an answer that cannot be read",
            FailureKind::NotSent => "could not be asked",
        })?;
        match &self.code {
            Some(code) => write!(formatter, " ({code})"),
            None => Ok(()),
        }
    }
}

impl<E: ProvideErrorMetadata> From<&SdkError<E>> for Failure {
    fn from(error: &SdkError<E>) -> Self {
        match error {
            SdkError::ServiceError(refusal) => {
                Self::of_answer(refusal.err().code(), refusal.raw().status().as_u16())
            }
            SdkError::TimeoutError(_) => Self::timeout(),
            SdkError::DispatchFailure(_) => Self {
                kind: FailureKind::Unreachable,
                code: None,
            },
            SdkError::ResponseError(_) => Self::bad_answer(),
            _ => Self {
                kind: FailureKind::NotSent,
                code: None,
            },
        }
    }
}

/// Returns an error code if it has the form of one. Any server can respond in place of AWS, and its
/// text must not reach the log.
fn checked_code(code: &str) -> Option<String> {
    let is_code = (1..=MAX_CODE_BYTES).contains(&code.len()) && code.bytes().all(is_code_byte);
    is_code.then(|| code.to_owned())
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_a_word_and_in_words() {
        let throttled = Failure::refused("ThrottlingException");
        assert_eq!(throttled.word(), "ThrottlingException");
        assert_eq!(
            throttled.to_string(),
            "refused the request (ThrottlingException)"
        );
        assert_eq!(Failure::timeout().word(), "timeout");
        assert_eq!(Failure::timeout().to_string(), "did not answer in time");
    }

    #[test]
    fn what_is_no_error_code_is_not_told() {
        for text in [
            "",
            "Ada Lovelace",
            "<html>",
            "ada@example.com",
            &"x".repeat(MAX_CODE_BYTES + 1),
        ] {
            assert_eq!(Failure::refused(text).word(), "refused", "{text}");
        }
    }

    #[test]
    fn a_code_outlives_the_end_of_the_time() {
        let throttled = Failure::refused("ThrottlingException");
        let denied = Failure::refused("AccessDeniedException");
        assert_eq!(Failure::timeout().after(None), Failure::timeout());
        assert_eq!(Failure::timeout().after(Some(throttled.clone())), throttled);
        assert_eq!(denied.clone().after(Some(throttled)), denied);
        let unread = Failure::bad_answer();
        assert_eq!(Failure::timeout().after(Some(unread.clone())), unread);
    }
}
