//! Problems of a stack, one at a time, with the output of the command.

use super::cloud::Cloud;
use hookkeeper::template::TEMPLATE;
use serde_json::json;
use std::time::Duration;

/// A problem, and the one line that reports it.
type Trouble = (fn(&mut Cloud), &'static str);

pub(crate) const TROUBLES: [Trouble; 23] = [
    (
        |it| it.status = "UPDATE_ROLLBACK_COMPLETE",
        "FAIL  stack              hookkeeper is UPDATE_ROLLBACK_COMPLETE: its last deployment was rolled back: `aws cloudformation describe-stack-events --stack-name hookkeeper` shows the cause; fix it, and deploy again",
    ),
    (
        |it| it.status = "ROLLBACK_COMPLETE",
        "FAIL  stack              hookkeeper is ROLLBACK_COMPLETE, never deployed: [..]",
    ),
    (
        |it| it.status = "UPDATE_IN_PROGRESS",
        "FAIL  stack              hookkeeper is UPDATE_IN_PROGRESS: wait until it has finished, and run doctor again",
    ),
    (
        |it| it.status = "UPDATE_ROLLBACK_FAILED",
        "FAIL  stack              hookkeeper is UPDATE_ROLLBACK_FAILED: [..]",
    ),
    (
        |it| {
            it.template = TEMPLATE.replace(
                "  FallbackQueue:\n    Type: AWS::SQS::Queue",
                "  Queue:\n    Type: AWS::SQS::Queue",
            );
        },
        "FAIL  template           it differs from version [..] (without FallbackQueue; with Queue): deploy this version (`[..]hookkeeper deploy`), or use the version that is deployed",
    ),
    (
        |it| it.missing = ["AmocrmFunction", "Table"].into(),
        "FAIL  resources          missing: AmocrmFunction, Table: deploy this version [..]",
    ),
    (
        |it| {
            it.parameters.insert("CloserKeys", "a:b");
        },
        "FAIL  resources          missing: CloserFunction, CloserRoute, [..] more: deploy this version [..]",
    ),
    (
        |it| it.table["TableStatus"] = json!("UPDATING"),
        "FAIL  table              hookkeeper-Table is UPDATING: wait until it is ACTIVE, and run doctor again",
    ),
    (
        |it| it.table["GlobalSecondaryIndexes"][0]["IndexStatus"] = json!("CREATING"),
        "FAIL  table              the index by_recordedtime of hookkeeper-Table is CREATING: wait until it is ACTIVE, and run doctor again",
    ),
    (
        |it| it.table["KeySchema"][1]["AttributeName"] = json!("other"),
        "FAIL  table              the keys or indexes of hookkeeper-Table differ from those of version [..]: deploy this version again",
    ),
    (
        |it| it.table_name = "gone",
        "FAIL  table              there is no table gone: deploy again, or restore it (docs/operations.md), or name another one with --table",
    ),
    (
        |it| {
            it.time_to_live =
                json!({ "TimeToLiveStatus": "DISABLING", "AttributeName": "expires" });
        },
        "FAIL  expiry             hookkeeper-Table does not expire items by expires: deploy this version again",
    ),
    (
        |it| it.time_to_live["AttributeName"] = json!("other"),
        "FAIL  expiry             hookkeeper-Table does not expire items by expires: deploy this version again",
    ),
    (
        |it| it.may_query = false,
        "FAIL  webhook            what the guardian found cannot be read (AccessDeniedException): use a role with the rights of docs/policies/cli.json",
    ),
    (
        |it| it.fallback_queue = [2, 1, 0],
        "FAIL  fallback queue     3 messages wait: the table did not take them. The drain moves them within minutes, else its log shows the cause; they expire after 14 days",
    ),
    (
        |it| it.dead_letters = [0, 0, 1],
        "FAIL  dead-letter queue  1 message waits: the drain could not move them. Fix the cause in its log, then `[..]hookkeeper queue redrive`",
    ),
    (
        |it| {
            it.conditions.insert("UseRelay");
            it.relay_dead_letters = Some([1, 1, 0]);
        },
        "FAIL  relay queue        2 messages wait: the relay could not publish their events: `[..]hookkeeper republish --dead-letters` tries again, and says why",
    ),
    (
        |it| {
            it.status_of.insert("amocrm", 503);
        },
        "FAIL  amocrm             [..]/amocrm answers 503 to an authenticated probe: look at the function's log and its alarms (docs/operations.md)",
    ),
    (
        |it| {
            it.status_of.insert("pipedrive", 404);
        },
        "FAIL  pipedrive          [..]/pipedrive answers 404 to an authenticated probe: no receiver has this URL: deploy again",
    ),
    (
        |it| {
            it.delays
                .get_mut()
                .unwrap()
                .insert("amocrm", vec![Duration::ZERO, Duration::from_millis(700)]);
        },
        "FAIL  amocrm             [..]/amocrm answers an authenticated probe in [..] ms (the first in [..] ms), more than a third of the 2 s timeout of amocrm: look at the dashboard: is the table slow, or are there many cold starts?",
    ),
    (
        |it| {
            it.delays
                .get_mut()
                .unwrap()
                .insert("amocrm", vec![Duration::from_mins(1)]);
        },
        "FAIL  amocrm             [..]/amocrm does not answer (not within 2 s): look at the URL, its DNS and the network; then at the function's log",
    ),
    (
        |it| {
            let known =
                "2026-11-21:8da193366e1554c08b2870c50f737b9587c3372b656151c4a96028af26f51334";
            it.parameters.insert("PipedriveCredentials", known);
        },
        "FAIL  credentials        pipedrive accepts a well-known credential (label 2026-11-21): make another with `cargo hookkeeper credentials pipedrive --add`, and drop this one (docs/operations.md, rotate a credential)",
    ),
    (
        |it| it.behind = -65,
        "FAIL  clock              this machine's clock is [..] s behind: synchronize the clock: AWS rejects signatures that are 5 minutes off",
    ),
];
