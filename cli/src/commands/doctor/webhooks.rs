//! Webhook checks: the state that the guardian left for each account.

use super::{Asked, finding::Finding};
use crate::{connection::parameter, managed_account::completeness, output::seconds};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use models::Timestamp;
use std::time::Duration;
use storage::{Guardian, Policy, Table};

const CHECK: &str = "webhook";
/// Age of the last list after which the guardian of a stack does not work. It looks four times as
/// often.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Checks each account. There is no finding without accounts and without a guardian.
pub(crate) async fn check(
    sdk: &SdkConfig,
    name: Result<String, &'static str>,
    stack: &Asked,
) -> Vec<Finding> {
    let Ok(name) = name else {
        return Vec::new();
    };
    let table = Table::from_client(&Client::new(sdk), &name, Policy::default());
    let guardians = match table.guardians().await {
        Ok(guardians) => guardians,
        Err(error) if error.word() == "AccessDeniedException" => {
            let text = "what the guardian found cannot be read (AccessDeniedException)";
            let advice = "use a role with the rights of docs/policies/cli.json";
            return vec![Finding::fail(CHECK, text, advice)];
        }
        // The check of the table has reported this error.
        Err(_) => return Vec::new(),
    };
    let stack = stack.as_ref().ok();
    let guards = stack.and_then(|stack| parameter(stack, "Guardian")) == Some(true);
    if guards && guardians.is_empty() {
        let advice = "`hookkeeper register` adds one";
        return vec![Finding::fail(CHECK, "the guardian has no account", advice)];
    }
    let oldest = guards.then(|| table.now().before(MAX_AGE));
    let findings = guardians.iter().map(|guardian| account(guardian, oldest));
    findings.collect()
}

/// The state of an account. `oldest`: when the list must have been read, if there is a guardian.
fn account(guardian: &Guardian, oldest: Option<Timestamp>) -> Finding {
    let text = describe(guardian);
    if guardian.finding != "ok" {
        let advice = "see the guardian's alarms in docs/operations.md";
        return Finding::fail(CHECK, text, advice);
    }
    if oldest.is_some_and(|oldest| guardian.listed.is_none_or(|listed| listed < oldest)) {
        let advice = "the guardian does not look at it: read its log";
        return Finding::fail(CHECK, text, advice);
    }
    Finding::ok(CHECK, text)
}

/// `pipedrive/7: ok, webhook 12 alive, last delivery 2026-11-21 10:00:00, looked at …`
fn describe(guardian: &Guardian) -> String {
    let mut parts = vec![format!("{}: {}", guardian.account, guardian.finding)];
    if guardian.rotating.is_some() {
        parts.push("its credential is being rotated".to_owned());
    }
    if let Some(since) = guardian.since {
        parts.push(format!("since {}", seconds(since)));
    }
    parts.extend(guardian.reason.clone());
    for webhook in &guardian.webhooks {
        let state = webhook.dead.as_deref().unwrap_or("alive");
        let mut part = format!("webhook {} {state}", webhook.id);
        if let Some(delivered) = webhook.delivered {
            part = format!("{part}, last delivery {}", seconds(delivered));
        }
        if let Some(status) = webhook.status {
            part = format!("{part} ({status})");
        }
        parts.push(part);
    }
    parts.extend(completeness(guardian));
    match guardian.listed {
        Some(listed) => parts.push(format!("looked at {}", seconds(listed))),
        None => parts.push("never looked at".to_owned()),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_account_that_the_guardian_does_not_look_at_fails() {
        let oldest = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        let state = |listed: Option<&str>| -> Guardian {
            let state = json!({
                "account": "pipedrive/7", "revision": 1, "leaseuntil": oldest,
                "registered": oldest, "listed": listed,
            });
            serde_json::from_value(state).unwrap()
        };
        for (listed, is_failing) in [
            (Some("2026-11-21T10:00:01Z"), false),
            (Some("2026-11-21T09:59:59Z"), true),
            (None, true),
        ] {
            let guarded = account(&state(listed), Some(oldest));
            let text = serde_json::to_value(&guarded).unwrap();
            assert_eq!(text["verdict"] == "fail", is_failing, "{text}");
            // Without the function, a person looks.
            let unguarded = serde_json::to_value(account(&state(listed), None)).unwrap();
            assert_eq!(unguarded["verdict"], "ok");
        }
    }
}
