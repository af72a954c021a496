//! The report of a pass: findings and actions, and the log line that CloudWatch also reads as
//! metrics.

use crate::{Finding, Usage};
use providers::api::ApiError;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use storage::{budget::now, guardian::Completeness};

/// What was done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    None,
    /// A webhook was created.
    Created,
    /// A webhook was deleted.
    Deleted,
    /// Events were read back and stored.
    Healed,
}

/// A finding and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The finding.
    pub finding: Finding,
    /// What was done.
    pub action: Action,
    /// The id of the webhook that was found, created or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<u64>,
    /// More about it, without a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The names of the webhooks of a full account. Not in the log: people chose them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The number of events that were read back and stored.
    #[serde(skip_serializing_if = "is_zero")]
    pub healed: u64,
    /// The changes of a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
}

/// The report of a pass over an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The findings, at least one.
    pub lines: Vec<Line>,
    /// The use of the API.
    pub usage: Usage,
}

impl Line {
    /// A line about a webhook.
    #[must_use]
    pub fn new(finding: Finding, action: Action, webhook: Option<u64>) -> Self {
        Self {
            finding,
            action,
            webhook,
            reason: None,
            names: Vec::new(),
            healed: 0,
            completeness: None,
        }
    }

    /// A line about a failed call.
    #[must_use]
    pub fn from_error(error: &ApiError) -> Self {
        let finding = match error {
            ApiError::Unauthorized | ApiError::Forbidden | ApiError::Unpaid => {
                Finding::Unauthorized
            }
            ApiError::RateLimited { .. } => Finding::RateLimited,
            ApiError::Limit => Finding::Limit,
            ApiError::Invalid(_)
            | ApiError::NotFound
            | ApiError::Malformed(_)
            | ApiError::Unavailable(_)
            | ApiError::NoResponse(_) => Finding::Malformed,
        };
        Self::new(finding, Action::None, None).because(error)
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(self, reason: &impl ToString) -> Self {
        Self {
            reason: Some(reason.to_string()),
            ..self
        }
    }

    /// Whether the API was of no use.
    pub(crate) fn is_api_failure(&self) -> bool {
        matches!(
            self.finding,
            Finding::Unauthorized | Finding::RateLimited | Finding::Malformed
        )
    }

    /// Whether something is wrong and was not corrected.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.finding, Finding::Ok | Finding::Suspicion) && self.action == Action::None
    }
}

impl Report {
    /// The first finding that is open.
    #[must_use]
    pub fn open(&self) -> Option<&Line> {
        self.lines.iter().find(|line| line.is_open())
    }

    /// The log line of the pass. It has counts, ids of webhooks and words, but no URL and no secret.
    #[must_use]
    pub fn log_line(&self, stack: &str, provider: &str, account: &str) -> String {
        let counts = self.counts();
        let findings = self.lines.iter().cloned().map(|line| Line {
            names: Vec::new(),
            ..line
        });
        let findings: Vec<Line> = findings.collect();
        let mut line = json!({
            "stack": stack,
            "provider": provider,
            "account": account,
            "findings": findings,
            "api_calls": self.usage.calls,
            "api_tokens": self.usage.tokens,
        });
        if let Value::Object(members) = &mut line {
            if !counts.is_empty() {
                members.insert("_aws".to_owned(), metrics(&counts));
            }
            let counts = counts.into_iter();
            members.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
        }
        line.to_string()
    }

    /// The counts that are not zero, by the names of their metrics. CloudWatch charges for each
    /// metric in each hour that has data.
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for line in &self.lines {
            for name in line.metrics() {
                *counts.entry(*name).or_default() += 1;
            }
            if line.healed > 0 {
                *counts.entry("healed").or_default() += line.healed;
            }
            if let Some(completeness) = &line.completeness {
                counts.insert("changes", completeness.shown);
                counts.insert("changes_stored", completeness.stored);
            }
        }
        counts
    }
}

impl Line {
    fn metrics(&self) -> &'static [&'static str] {
        match (self.finding, self.action) {
            (Finding::Missing | Finding::Dead, Action::Created) => {
                &["webhook_dead", "webhook_created"]
            }
            (Finding::Missing | Finding::Dead, Action::None) => {
                &["webhook_dead", "webhook_create_failed"]
            }
            (_, Action::Created) => &["webhook_created"],
            (Finding::Superseded | Finding::Limit, Action::None) => &["webhook_create_failed"],
            (Finding::Unauthorized, _) => &["token_refused"],
            (Finding::RateLimited | Finding::Malformed, _) => &["api_failed"],
            (Finding::Gap, _) => &["gaps"],
            (Finding::Ok | Finding::Duplicate | Finding::Suspicion, _)
            | (_, Action::Deleted | Action::Healed) => &[],
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn metrics(counts: &BTreeMap<&'static str, u64>) -> Value {
    let metrics: Vec<Value> = counts.keys().map(|name| json!({ "Name": name })).collect();
    json!({
        "Timestamp": now().as_micros() / 1_000,
        "CloudWatchMetrics": [{
            "Namespace": "Hookkeeper",
            // The alarms are of all providers.
            "Dimensions": [["stack"], ["stack", "provider"]],
            "Metrics": metrics,
        }],
    })
}
