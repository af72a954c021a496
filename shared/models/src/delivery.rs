//! One request of a provider, as plain data.

use crate::{Timestamp, redacted::Bytes};
use std::fmt;

/// One request of a provider: what its reader needs, and what a replay reads again.
///
/// Plain data that tests and replays may make too. That the sender was let in is said by `ingest::Authenticated`, not here.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The body exactly as the provider sent it, API Gateway's base64 undone.
    pub body: Vec<u8>,
    /// The `Content-Type` header, where there was one.
    pub content_type: Option<String>,
    /// When API Gateway received it.
    pub arrival: Timestamp,
    /// The provider's own id of the request where it sends one, else API Gateway's. Tells two equal bodies apart.
    pub request_id: String,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            body,
            content_type,
            arrival,
            request_id,
        } = self;
        f.debug_struct("Delivery")
            .field("body", &Bytes(body.len()))
            .field("content_type", content_type)
            .field("arrival", arrival)
            .field("request_id", request_id)
            .finish()
    }
}
