//! The outcome of a delivery, and the response that it gets.

use lambda_http::{
    Body,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
};
use models::ParseError;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its events are in the table; so many of them were before.
    Stored {
        /// How many events it carried.
        events: usize,
        /// How many of them the table had.
        duplicates: usize,
    },
    /// Its events wait in the spool for a table that did not take them in time.
    Queued {
        /// How many events it carried, those that are in the table too.
        events: usize,
        /// How many of them the table had.
        duplicates: usize,
    },
    /// It could not be read, and is in the table as it came.
    Quarantined(ParseError),
    /// It had credentials and no body: somebody tries the URL.
    Probe,
    /// A GET or HEAD, with credentials or without: providers look at a URL before they save it.
    UrlCheck,
    /// It showed no accepted credential.
    Unauthorized,
    /// Neither table nor spool took it in time: the provider should send it again.
    Unavailable,
}

impl Verdict {
    /// The verdict in one word, as in the log.
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

    /// The status that it is answered with.
    ///
    /// 503 is the only 5xx, and never a 4xx stands for trouble of ours: amoCRM retries a 4xx less often.
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

    /// The answer.
    #[must_use]
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = self.status().as_u16().into();
        // Empty, and not absent, which is harder on what stands between us and the provider.
        response.body = Some(Body::Text(String::new()));
        if *self == Self::Unauthorized {
            let challenge =
                HeaderValue::from_static(r#"Basic realm="hookkeeper", charset="UTF-8""#);
            response.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
