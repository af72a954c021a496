//! The log line of a delivery. CloudWatch also reads it as metrics (embedded metric format).

use crate::Verdict;
use models::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};
use storage::Failure;

/// The one log line of a delivery, which CloudWatch also reads as metrics. It contains identifiers,
/// counts and durations, but no header, query or body.
///
/// CloudWatch charges for each metric in each hour that has data, and for each byte of a line. So a
/// line contains only counts that are not zero, and a delivery that is stored without problems is
/// one metric.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(rename = "_aws", skip_serializing_if = "Option::is_none")]
    aws: Option<Metadata>,
    provider: &'static str,
    /// The label of the credential that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    verdict: &'static str,
    /// API Gateway's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    events: usize,
    bytes: usize,
    latency_ms: f64,
    /// The metrics, by name.
    #[serde(flatten)]
    counts: BTreeMap<&'static str, usize>,
    /// The reason for quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The failure of the table, if any: AWS's error code, or else the kind of failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_failure: Option<&'a str>,
    /// The failure of the fallback queue, if any, in the same form.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_failure: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: &'static [&'static [&'static str]],
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
}

/// The metric of authenticated deliveries. It also has the credential's label as a dimension, which
/// shows when an old credential is no longer used.
const DELIVERIES: &str = "deliveries";

impl<'a> Line<'a> {
    pub(crate) fn new(
        provider: &'static str,
        verdict: &Verdict,
        facts: &'a Facts,
        now: Timestamp,
        latency: Duration,
    ) -> Self {
        let (events, duplicates) = match verdict {
            Verdict::Stored { events, duplicates } | Verdict::Queued { events, duplicates } => {
                (*events, *duplicates)
            }
            _ => (0, 0),
        };
        let is_delivery = !matches!(
            verdict,
            Verdict::Probe | Verdict::UrlCheck | Verdict::Unauthorized
        );
        let counts = [
            (DELIVERIES, usize::from(is_delivery)),
            ("duplicates", duplicates),
            (
                "quarantined",
                usize::from(matches!(verdict, Verdict::Quarantined(_))),
            ),
            // An unauthorized request whose User-Agent names the provider. Most likely the provider
            // sent it, with a credential that is not accepted.
            (
                "refused",
                usize::from(*verdict == Verdict::Unauthorized && facts.claims_to_be_the_provider),
            ),
            ("spooled", facts.queued),
            ("strangers", usize::from(*verdict == Verdict::Unauthorized)),
            ("unavailable", usize::from(*verdict == Verdict::Unavailable)),
        ];
        let counts: BTreeMap<_, _> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        let (by_credential, others): (Vec<_>, Vec<_>) =
            counts.keys().partition(|name| **name == DELIVERIES);
        let directives: [(&'static [&'static [&'static str]], Vec<_>); 2] = [
            (&[&["provider"], &["provider", "credential"]], by_credential),
            (&[&["provider"]], others),
        ];
        let directives = directives
            .into_iter()
            .filter(|(_, names)| !names.is_empty());
        let directives: Vec<_> = directives
            .map(|(dimensions, names)| Directive {
                namespace: "Hookkeeper",
                dimensions,
                metrics: names.into_iter().map(|name| Metric { name }).collect(),
            })
            .collect();
        let aws = Metadata {
            timestamp: now.as_micros() / 1_000,
            cloud_watch_metrics: directives,
        };
        Self {
            aws: Some(aws).filter(|aws| !aws.cloud_watch_metrics.is_empty()),
            provider,
            credential: facts.credential.as_deref(),
            verdict: verdict.word(),
            request_id: facts.request_id.as_deref(),
            events,
            bytes: facts.bytes,
            latency_ms: (latency.as_secs_f64() * 100_000.0).round() / 100.0,
            reason: match verdict {
                Verdict::Quarantined(reason) => Some(reason.reason()),
                _ => None,
            },
            table_failure: facts.table_failure.as_ref().map(Failure::word),
            queue_failure: facts.queue_failure.as_ref().map(Failure::word),
            counts,
        }
    }

    /// Writes the line to standard output, where Lambda collects it. A failed write must not fail
    /// the delivery.
    pub(crate) fn write(&self) {
        let line = serde_json::to_string(self).unwrap_or_default();
        writeln!(io::stdout(), "{line}").ok();
    }
}

/// Values that the log line contains in addition to the verdict.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) bytes: usize,
    pub(crate) credential: Option<String>,
    pub(crate) claims_to_be_the_provider: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) queued: usize,
    pub(crate) table_failure: Option<Failure>,
    pub(crate) queue_failure: Option<Failure>,
}
