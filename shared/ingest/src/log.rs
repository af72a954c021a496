//! The log line of a delivery. CloudWatch also reads it as metrics (embedded metric format).

use crate::Verdict;
use models::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
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
    stack: &'a str,
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
    reason: Option<&'a str>,
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
        stack: &'a str,
        provider: &'static str,
        verdict: &'a Verdict,
        details: &'a Details,
        now: Timestamp,
        latency: Duration,
    ) -> Self {
        let counts = counts(verdict, details);
        let aws = Metadata {
            timestamp: now.as_micros() / 1_000,
            cloud_watch_metrics: directives(&counts),
        };
        Self {
            aws: (!counts.is_empty()).then_some(aws),
            stack,
            provider,
            credential: details.credential.as_deref(),
            verdict: verdict.word(),
            request_id: details.request_id.as_deref(),
            events: verdict.events(),
            bytes: details.bytes,
            latency_ms: (latency.as_secs_f64() * 100_000.0).round() / 100.0,
            reason: match verdict {
                Verdict::Quarantined { reason, .. } => Some(&reason.code),
                _ => None,
            },
            table_failure: details.table_failure.as_ref().map(Failure::word),
            queue_failure: details.queue_failure.as_ref().map(Failure::word),
            counts,
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// Writes a line to standard output, where Lambda collects it. A failed write must not fail the
/// delivery.
pub(crate) fn write(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}

/// Returns the counts of a delivery that are not zero, by the names of their metrics.
fn counts(verdict: &Verdict, details: &Details) -> BTreeMap<&'static str, usize> {
    let is_delivery = !matches!(
        verdict,
        Verdict::Probe | Verdict::UrlCheck | Verdict::Unauthorized
    );
    let is_unauthorized = *verdict == Verdict::Unauthorized;
    let is_unauthenticated = is_unauthorized || *verdict == Verdict::UrlCheck;
    let counts = [
        (DELIVERIES, usize::from(is_delivery)),
        ("duplicates", verdict.duplicates()),
        ("quarantined", verdict.quarantined()),
        ("queued", details.queued),
        // Whether it is rejected or not: a stranger can send both, and both cost the same.
        ("unauthenticated", usize::from(is_unauthenticated)),
        ("unauthorized", usize::from(is_unauthorized)),
        // An unauthorized request whose User-Agent names the provider. Most likely the provider
        // sent it, with a credential that is not accepted.
        (
            "unauthorized_provider",
            usize::from(is_unauthorized && details.names_the_provider),
        ),
        ("unavailable", usize::from(*verdict == Verdict::Unavailable)),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Returns the declaration of the metrics of these counts.
fn directives(counts: &BTreeMap<&'static str, usize>) -> Vec<Directive> {
    let (by_credential, others): (Vec<_>, Vec<_>) =
        counts.keys().partition(|name| **name == DELIVERIES);
    let directives = [
        Directive::new(
            &[&["stack", "provider"], &["stack", "provider", "credential"]],
            by_credential,
        ),
        Directive::new(&[&["stack", "provider"]], others),
    ];
    let directives = directives.into_iter();
    directives
        .filter(|directive| !directive.metrics.is_empty())
        .collect()
}

impl Directive {
    fn new(dimensions: &'static [&'static [&'static str]], names: Vec<&&'static str>) -> Self {
        Self {
            namespace: "Hookkeeper",
            dimensions,
            metrics: names.into_iter().map(|name| Metric { name }).collect(),
        }
    }
}

/// Values that the log line contains in addition to the verdict.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) bytes: usize,
    pub(crate) credential: Option<String>,
    pub(crate) names_the_provider: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) queued: usize,
    pub(crate) table_failure: Option<Failure>,
    pub(crate) queue_failure: Option<Failure>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_without_a_valid_credential_is_counted_and_none_is_a_delivery() {
        let of = |verdict| counts(&verdict, &Details::default());
        assert_eq!(of(Verdict::UrlCheck), [("unauthenticated", 1)].into());
        let unauthorized = [("unauthenticated", 1), ("unauthorized", 1)];
        assert_eq!(of(Verdict::Unauthorized), unauthorized.into());
        assert_eq!(of(Verdict::Probe), [].into());
        let stored = Verdict::Stored {
            events: 1,
            duplicates: 0,
        };
        assert_eq!(of(stored), [(DELIVERIES, 1)].into());
    }
}
