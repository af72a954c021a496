//! The outcome of a delivery, and its HTTP response.

use lambda_http::{
    Body,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
};
use models::Reason;

/// The outcome of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its events are in the table. Some of them may be duplicates.
    Stored {
        /// The number of events in the delivery.
        events: usize,
        /// The number of events that were already in the table.
        duplicates: usize,
    },
    /// Its events are in the fallback queue, because the table did not accept them in time.
    Queued {
        /// The number of events in the delivery, including those that are in the table.
        events: usize,
        /// The number of events that were already in the table.
        duplicates: usize,
    },
    /// It could not be parsed, or some of its items could not. The exact body is in the table or in
    /// the fallback queue.
    Quarantined {
        /// Why the first of these items could not be parsed.
        reason: Reason,
        /// The number of quarantined items. 1 for a whole delivery.
        items: usize,
        /// The number of events in the delivery.
        events: usize,
        /// The number of events that were already in the table.
        duplicates: usize,
    },
    /// It had credentials and no body: somebody tests the URL.
    Probe,
    /// A GET or HEAD request, or one with neither a body nor a credential: providers check a URL
    /// before they save it.
    UrlCheck,
    /// It had no accepted credential.
    Unauthorized,
    /// Neither the table nor the fallback queue accepted it in time. The provider should send it
    /// again.
    Unavailable,
}

impl Verdict {
    /// The verdict as one word, as in the log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stored { events, duplicates } if events == duplicates => "duplicate",
            Self::Stored { .. } => "stored",
            Self::Queued { .. } => "queued",
            Self::Quarantined { .. } => "quarantined",
            Self::Probe => "probe",
            Self::UrlCheck => "url_check",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
        }
    }

    /// The number of events in the delivery.
    #[must_use]
    pub fn events(&self) -> usize {
        match self {
            Self::Stored { events, .. }
            | Self::Queued { events, .. }
            | Self::Quarantined { events, .. } => *events,
            _ => 0,
        }
    }

    /// The number of events that were already in the table.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        match self {
            Self::Stored { duplicates, .. }
            | Self::Queued { duplicates, .. }
            | Self::Quarantined { duplicates, .. } => *duplicates,
            _ => 0,
        }
    }

    /// The number of items that could not be parsed.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        match self {
            Self::Quarantined { items, .. } => *items,
            _ => 0,
        }
    }

    /// The HTTP status of the response.
    ///
    /// 503 is the only 5xx. A failure of ours never causes a 4xx: amoCRM retries a 4xx less often.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Stored { .. }
            | Self::Queued { .. }
            | Self::Quarantined { .. }
            | Self::Probe
            | Self::UrlCheck => StatusCode::OK,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The HTTP response.
    #[must_use]
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = self.status().as_u16().into();
        // An empty body is safer than a missing one for proxies between us and the provider.
        response.body = Some(Body::Text(String::new()));
        if *self == Self::Unauthorized {
            let challenge =
                HeaderValue::from_static(r#"Basic realm="hookkeeper", charset="UTF-8""#);
            response.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
