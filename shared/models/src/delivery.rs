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
    /// Everything else that is stored of the request.
    pub origin: Origin,
}

/// A delivery without its body. With the body it is sufficient to parse the delivery again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The time when API Gateway received the request.
    pub arrival: Timestamp,
    /// The provider's own id of the request if it sends one, else API Gateway's. It distinguishes
    /// two equal bodies.
    pub request_id: String,
    /// API Gateway's id of the request, as in its access log.
    pub gateway_id: Option<String>,
    /// The `Content-Type` header, if the request has one.
    pub content_type: Option<String>,
    /// The label of the credential that the request was authenticated with.
    pub credential: Option<String>,
}

impl Delivery {
    /// Creates a delivery of which only these values are known.
    #[must_use]
    pub fn new(body: Vec<u8>, arrival: Timestamp, request_id: &str) -> Self {
        let origin = Origin {
            arrival,
            request_id: request_id.to_owned(),
            gateway_id: None,
            content_type: None,
            credential: None,
        };
        Self { body, origin }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, origin } = self;
        f.debug_struct("Delivery")
            .field("body", &Bytes(body.len()))
            .field("origin", origin)
            .finish()
    }
}
