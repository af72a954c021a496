//! Watches the creation or update of a stack: its progress, and why it failed.

use crate::{
    Failure,
    connection::{stack, unasked},
    stack_update::{is_settled, status, waits},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::SdkError,
    operation::describe_stack_events::DescribeStackEventsError,
    types::{Stack, StackEvent},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{collections::BTreeSet, time::Duration};

/// Maximum number of failed events that a message lists.
const FAILURES: usize = 3;
/// How often the time of the progress bar is drawn.
const TICK: Duration = Duration::from_millis(200);

/// A creation or an update of a stack.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    sdk: &'a SdkConfig,
    /// Name or id of the stack.
    stack: &'a str,
    /// Id of the newest event before. `None`: all events are of this creation.
    before: Option<String>,
    /// Number of resources that are created, changed or removed.
    resources: usize,
}

impl<'a> Watch<'a> {
    /// Watches the creation of a stack that did not exist.
    pub(crate) fn from_beginning(sdk: &'a SdkConfig, stack: &'a str, resources: usize) -> Self {
        Self {
            sdk,
            stack,
            before: None,
            resources,
        }
    }

    /// Watches what happens to a stack from now on.
    pub(crate) async fn from_now(
        sdk: &'a SdkConfig,
        stack: &'a str,
        resources: usize,
    ) -> Result<Self, Failure> {
        let mut watch = Self::from_beginning(sdk, stack, resources);
        let newest = Client::new(sdk).describe_stack_events().stack_name(stack);
        let newest = newest.send().await.map_err(|error| unreadable(&error))?;
        let newest = newest.stack_events.unwrap_or_default().into_iter().next();
        watch.before = newest.and_then(|event| event.event_id);
        Ok(watch)
    }

    /// Waits until it has ended, and shows its progress.
    pub(crate) async fn ended(&self) -> Result<Stack, Failure> {
        let style =
            ProgressStyle::with_template("{spinner} {pos}/{len} resources  {elapsed}  {wide_msg}")?;
        let total = u64::try_from(self.resources)?;
        let bar = ProgressBar::new(total).with_style(style);
        bar.enable_steady_tick(TICK);
        let mut waits = waits();
        loop {
            // In this order: a description from before the first event says how the last update ended.
            let events = self.events().await?;
            let stack = stack(self.sdk, self.stack).await?;
            if is_settled(&stack) && !events.is_empty() {
                bar.finish_and_clear();
                return Ok(stack);
            }
            bar.set_position(u64::try_from(done(&events))?.min(total));
            bar.set_message(events.first().map(message).unwrap_or_default());
            tokio::time::sleep(waits.next().unwrap_or_default()).await;
        }
    }

    /// The reasons why it failed: the first failed events.
    pub(crate) async fn failures(&self) -> Result<String, Failure> {
        let events = self.events().await?;
        let failed = events.iter().rev().filter(|event| is_cause(event));
        let failures: Vec<String> = failed.take(FAILURES).map(failure).collect();
        if failures.is_empty() {
            return Ok("AWS gives no reason".to_owned());
        }
        Ok(failures.join("; "))
    }

    /// Its events, newest first.
    async fn events(&self) -> Result<Vec<StackEvent>, Failure> {
        let mut pages = Client::new(self.sdk)
            .describe_stack_events()
            .stack_name(self.stack)
            .into_paginator()
            .send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unreadable(&error))?;
            for event in page.stack_events.unwrap_or_default() {
                if self.before.is_some() && event.event_id == self.before {
                    return Ok(events);
                }
                events.push(event);
            }
        }
        Ok(events)
    }
}

fn unreadable(error: &SdkError<DescribeStackEventsError>) -> Failure {
    unasked(error, |why| {
        format!("the events of the stack cannot be read ({why})")
    })
}

/// Number of resources that are done.
fn done(events: &[StackEvent]) -> usize {
    let complete = events
        .iter()
        .filter(|event| event_status(event).ends_with("_COMPLETE"));
    let resources = complete.filter(|event| event.physical_resource_id != event.stack_id);
    let ids: BTreeSet<_> = resources.map(StackEvent::logical_resource_id).collect();
    ids.len()
}

fn message(event: &StackEvent) -> String {
    let id = event.logical_resource_id().unwrap_or_default();
    format!("{id} {}", event_status(event))
}

/// Whether an event says why the deployment failed.
///
/// A cancelled resource is only a consequence of another failure.
fn is_cause(event: &StackEvent) -> bool {
    let reason = event.resource_status_reason().unwrap_or_default();
    event_status(event).ends_with("_FAILED") && !reason.ends_with("cancelled")
}

fn failure(event: &StackEvent) -> String {
    let id = event.logical_resource_id().unwrap_or_default();
    let reason = event
        .resource_status_reason()
        .unwrap_or("no reason is given");
    format!("{id}: {reason}")
}

fn event_status(event: &StackEvent) -> &str {
    event.resource_status().map_or("", |status| status.as_str())
}

/// Why a stack cannot be updated, and what to do. `None`: it can be.
pub(crate) fn status_problem(stack: &Stack, options: &str) -> Option<String> {
    let name = stack.stack_name().unwrap_or_default();
    let status = status(stack);
    let command =
        |action: &str| format!("`aws cloudformation {action} --stack-name {name}{options}`");
    let advice = match status {
        "REVIEW_IN_PROGRESS" => format!(
            "it has no resources, but a deployment that nobody confirmed. Remove it with {}",
            command("delete-stack")
        ),
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => format!(
            "its creation failed. {} shows why; remove it with {}",
            command("describe-stack-events"),
            command("delete-stack")
        ),
        "DELETE_FAILED" => format!(
            "its deletion failed. {} shows why; remove it with {}",
            command("describe-stack-events"),
            command("delete-stack")
        ),
        "UPDATE_ROLLBACK_FAILED" => format!(
            "its last update failed, and could not be undone. {} shows why; continue with {}",
            command("describe-stack-events"),
            command("continue-update-rollback")
        ),
        status if status.ends_with("IN_PROGRESS") => format!(
            "it is being changed. {} shows when that has ended",
            command("describe-stacks")
        ),
        _ => return None,
    };
    Some(format!(
        "the stack {name} is {status}: {advice}. Then deploy again. (AWS CloudShell has the `aws` command)"
    ))
}
