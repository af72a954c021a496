//! Queue checks: the fallback queue and the dead-letter queues must be empty.

use super::{Asked, finding::Finding};
use crate::connection::{causes, output};
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use storage::Messages;

/// Name of the check, stack output with the queue URL, and advice if the queue is not empty.
const QUEUES: [(&str, &str, &str); 2] = [
    (
        "fallback queue",
        "FallbackQueueUrl",
        "the table did not take them. The drain moves them within minutes, \
        else its log shows the cause; they expire after 14 days",
    ),
    (
        "dead-letter queue",
        "DeadLetterQueueUrl",
        "the drain could not move them. Fix the cause in its log, then `hookkeeper queue redrive`",
    ),
];

/// The same for queues that only some stacks have.
const OF_RELAY: [(&str, &str, &str); 2] = [
    (
        "relay queue",
        "RelayDeadLetterQueueUrl",
        "the relay could not publish their events: `hookkeeper republish --dead-letters` tries again, \
        and says why",
    ),
    (
        "forward queue",
        "ForwardDeadLetterQueueUrl",
        "ForwardUrl did not take the events for 24 hours. Repair it, `hookkeeper republish` the time, \
        then delete the messages",
    ),
];

pub(crate) async fn check(sdk: &SdkConfig, stack: &Asked) -> Vec<Finding> {
    let client = Client::new(sdk);
    let mut findings = Vec::new();
    for (check, name, advice) in QUEUES {
        let url = stack
            .as_ref()
            .map_err(|why| *why)
            .and_then(|stack| output(stack, name).ok_or("the stack has no output for it"));
        findings.push(match url {
            Ok(url) => queue(&client, check, &url, advice).await,
            Err(why) => Finding::skip(check, why),
        });
    }
    for (check, name, advice) in OF_RELAY {
        let url = stack.as_ref().ok().and_then(|stack| output(stack, name));
        if let Some(url) = url {
            findings.push(queue(&client, check, &url, advice).await);
        }
    }
    findings
}

async fn queue(client: &Client, check: &'static str, url: &str, advice: &str) -> Finding {
    let messages = match Messages::count(client, url).await {
        Ok(messages) => messages.all(),
        Err(error) => {
            let why = causes(&error);
            return Finding::fail(
                check,
                format!("it cannot be read ({why})"),
                "deploy again if it was deleted, or allow your AWS user sqs:GetQueueAttributes",
            );
        }
    };
    match messages {
        0 => Finding::ok(check, "empty"),
        1 => Finding::fail(check, "1 message waits", advice),
        more => Finding::fail(check, format!("{more} messages wait"), advice),
    }
}
