//! A delivery: one webhook request of a provider, as plain data.

use crate::{Timestamp, redacted::Bytes};
use std::fmt;

/// One webhook request of a provider: the input of the provider's parser, also in a replay.
///
/// This is plain data that tests and replays can create too. It does not prove that the sender was
/// authenticated; `ingest::Authenticated` does.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The body exactly as the provider sent it, after API Gateway's base64 is decoded.
    pub body: Vec<u8>,
    /// The `Content-Type` header, if the request has one.
    pub content_type: Option<String>,
    /// The time when API Gateway received the request.
    pub arrival: Timestamp,
    /// The provider's own id of the request if it sends one, else API Gateway's. It distinguishes
    /// two equal bodies.
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
