//! What became of a delivery, the answer that it gets, and the line that is logged of it.

use lambda_http::{
    Body,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
};
use models::{Timestamp, Unreadable};
use serde::Serialize;
use std::{
    io::{self, Write},
    time::Duration,
};

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its events are in the table; so many of them were before.
    Kept {
        /// How many events it carried.
        events: usize,
        /// How many of them the table had.
        duplicates: usize,
    },
    /// Its events wait in the spool for a table that did not take them in time.
    Spooled {
        /// How many events it carried.
        events: usize,
    },
    /// It could not be read, and is in the table as it came.
    Quarantined(Unreadable),
    /// It had credentials and no body: somebody tries the URL.
    Probe,
    /// A GET or HEAD, with credentials or without: providers look at a URL before they save it.
    Hello,
    /// It showed no accepted credential.
    Stranger,
    /// Neither table nor spool took it in time: the provider should send it again.
    Unavailable,
}

impl Verdict {
    /// The verdict in one word, as in the log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kept { events, duplicates } if events == duplicates => "duplicate",
            Self::Kept { .. } => "kept",
            Self::Spooled { .. } => "spooled",
            Self::Quarantined(_) => "quarantined",
            Self::Probe => "probe",
            Self::Hello => "hello",
            Self::Stranger => "stranger",
            Self::Unavailable => "unavailable",
        }
    }

    /// The status that it is answered with.
    ///
    /// 503 is the only 5xx, and never a 4xx stands for trouble of ours: amoCRM retries a 4xx less often.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Kept { .. } | Self::Spooled { .. } | Self::Quarantined(_) | Self::Probe | Self::Hello => {
                StatusCode::OK
            }
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = self.status().as_u16().into();
        response.body = Some(Body::Empty);
        if *self == Self::Stranger {
            let challenge = HeaderValue::from_static(r#"Basic realm="hookkeeper", charset="UTF-8""#);
            response.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The one line that is logged of a delivery, which CloudWatch reads as metrics too. Identifiers, counts and durations:
/// no header, query or body.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(rename = "_aws")]
    aws: Metadata,
    provider: &'static str,
    verdict: &'static str,
    events: usize,
    duplicates: usize,
    spooled: usize,
    quarantined: usize,
    probes: usize,
    strangers: usize,
    unavailable: usize,
    bytes: usize,
    latency_ms: f64,
    /// The label of the credential that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    /// API Gateway's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Why it was quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// How the table failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_failure: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    /// Milliseconds since 1970.
    timestamp: i64,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: [Metric; 9],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// The members of [`Line`] that are metrics, with their CloudWatch units.
const METRICS: [Metric; 9] = [
    Metric { name: "events", unit: "Count" },
    Metric { name: "duplicates", unit: "Count" },
    Metric { name: "spooled", unit: "Count" },
    Metric { name: "quarantined", unit: "Count" },
    Metric { name: "probes", unit: "Count" },
    Metric { name: "strangers", unit: "Count" },
    Metric { name: "unavailable", unit: "Count" },
    Metric { name: "bytes", unit: "Bytes" },
    Metric { name: "latency_ms", unit: "Milliseconds" },
];

impl<'a> Line<'a> {
    pub(crate) fn new(
        provider: &'static str,
        verdict: &Verdict,
        facts: &'a Facts,
        now: Timestamp,
        latency: Duration,
    ) -> Self {
        let (events, duplicates) = match verdict {
            Verdict::Kept { events, duplicates } => (*events, *duplicates),
            Verdict::Spooled { events } => (*events, 0),
            _ => (0, 0),
        };
        Self {
            aws: Metadata {
                timestamp: now.as_micros() / 1_000,
                cloud_watch_metrics: [Directive {
                    namespace: "Hookkeeper",
                    dimensions: [["provider"]],
                    metrics: METRICS,
                }],
            },
            provider,
            verdict: verdict.word(),
            events,
            duplicates,
            spooled: facts.spooled,
            quarantined: usize::from(matches!(verdict, Verdict::Quarantined(_))),
            probes: usize::from(matches!(verdict, Verdict::Probe | Verdict::Hello)),
            strangers: usize::from(*verdict == Verdict::Stranger),
            unavailable: usize::from(*verdict == Verdict::Unavailable),
            bytes: facts.bytes,
            latency_ms: latency.as_secs_f64() * 1_000.0,
            credential: facts.credential.as_deref(),
            request_id: facts.request_id.as_deref(),
            reason: match verdict {
                Verdict::Quarantined(reason) => Some(reason.reason()),
                _ => None,
            },
            table_failure: facts.table_failure,
        }
    }

    /// Writes the line to standard output, where Lambda collects it. That nobody reads it must not fail a delivery.
    pub(crate) fn write(&self) {
        let line = serde_json::to_string(self).unwrap_or_default();
        writeln!(io::stdout(), "{line}").ok();
    }
}

/// What is logged of a delivery beside its verdict.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) bytes: usize,
    pub(crate) credential: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) spooled: usize,
    pub(crate) table_failure: Option<&'static str>,
}
