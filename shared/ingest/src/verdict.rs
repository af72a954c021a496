//! The outcome of a delivery, and its HTTP response.

use lambda_http::{
    Body,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
};
use models::ParseError;

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
    /// It could not be parsed. Its unchanged body is in the table.
    Quarantined(ParseError),
    /// It had credentials and no body: somebody tests the URL.
    Probe,
    /// A GET or HEAD request, with or without credentials: providers check a URL before they save
    /// it.
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
            Self::Stored { .. } => "kept",
            Self::Queued { .. } => "spooled",
            Self::Quarantined(_) => "quarantined",
            Self::Probe => "probe",
            Self::UrlCheck => "hello",
            Self::Unauthorized => "stranger",
            Self::Unavailable => "unavailable",
        }
    }

    /// The number of events in the delivery. 0 if none of them is stored as an event.
    #[must_use]
    pub fn events(&self) -> usize {
        match self {
            Self::Stored { events, .. } | Self::Queued { events, .. } => *events,
            _ => 0,
        }
    }

    /// The number of events that were already in the table.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        match self {
            Self::Stored { duplicates, .. } | Self::Queued { duplicates, .. } => *duplicates,
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
            | Self::Quarantined(_)
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
