//! The log line of a batch. CloudWatch also reads it as metrics (embedded metric format).

use crate::Relayed;
use serde::Serialize;
use serde_json::{Value, json};
use storage::budget::now;

/// The one log line of a batch. It contains counts and an error code, but nothing of an event.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(rename = "_aws", skip_serializing_if = "Option::is_none")]
    aws: Option<Value>,
    stack: &'a str,
    relayed: usize,
    /// Those of them that were published with `dataref`.
    without_data: usize,
    /// Records that are no new events.
    skipped: usize,
    relay_dead_letters: usize,
    /// The sequence number from which Lambda is to continue, and the cause: AWS's error code, or
    /// else the kind of failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(stack: &'a str, relayed: &'a Relayed) -> Self {
        let not_done = relayed.not_done.as_ref();
        let dead_letters = relayed.dead_letters.len();
        Self {
            aws: metrics(relayed.published, dead_letters),
            stack,
            relayed: relayed.published,
            without_data: relayed.without_data,
            skipped: relayed.skipped,
            relay_dead_letters: dead_letters,
            continue_at: not_done.map(|not_done| &*not_done.sequence_number),
            failure: not_done.map(|not_done| not_done.failure.word()),
        }
    }
}

/// Declares the counts that are not zero as metrics, since CloudWatch charges for each metric.
fn metrics(relayed: usize, dead_letters: usize) -> Option<Value> {
    let counts = [("relayed", relayed), ("relay_dead_letters", dead_letters)];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let metrics: Vec<Value> = counts.map(|(name, _)| json!({ "Name": name })).collect();
    (!metrics.is_empty()).then(|| {
        json!({
            "Timestamp": now().as_micros() / 1_000,
            "CloudWatchMetrics": [
                { "Namespace": "Hookkeeper", "Dimensions": [["stack"]], "Metrics": metrics },
            ],
        })
    })
}
