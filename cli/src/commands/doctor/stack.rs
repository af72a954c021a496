//! Stack checks: the last deployment has completed, and the stack has the resources of this
//! version.

use super::{
    Asked,
    expected::{differences, expected, some, types},
    finding::Finding,
};
use crate::connection::{Connection, causes, is_missing, is_unreachable};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{Output, Stack, StackResourceSummary, TemplateStage},
};
use hookkeeper::template::{TEMPLATE, parse};
use std::{collections::BTreeSet, error::Error};

const CHECK: &str = "stack";
const AGAIN: &str =
    "deploy this version (`hookkeeper deploy`), or use the version that is deployed";
/// Advice for a request that AWS denies.
const RIGHTS: &str = "allow your AWS user the CloudFormation actions in docs/policies/cli.json";

/// Describes and checks the stack, if there is one.
pub(crate) async fn check(sdk: &SdkConfig, connection: &Connection) -> (Asked, Vec<Finding>) {
    let no_stack = match (connection.local, &connection.table) {
        (Some(_), _) => Some("`cargo dev` has none"),
        (None, Some(_)) => Some("--table does not use a stack"),
        (None, None) => None,
    };
    if let Some(why) = no_stack {
        return (Err(why), vec![Finding::skip(CHECK, why)]);
    }
    let client = Client::new(sdk);
    let name = &*connection.on_aws.stack;
    let stack = match client.describe_stacks().stack_name(name).send().await {
        Ok(answer) => answer.stacks.unwrap_or_default().pop(),
        Err(error) => {
            return (
                Err("the stack cannot be described"),
                vec![unasked(name, &error)],
            );
        }
    };
    match stack {
        Some(stack) => {
            let findings = vec![
                status(name, &stack),
                template(&client, name).await,
                resources(&client, &stack).await,
            ];
            (Ok(stack), findings)
        }
        None => (
            Err("there is no stack"),
            vec![Finding::fail(
                CHECK,
                format!("there is no stack {name}"),
                DEPLOY,
            )],
        ),
    }
}

const DEPLOY: &str = "deploy it, or name another one with --stack, --profile or --region";

fn unasked<E>(name: &str, error: &SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if is_missing(error) {
        return Finding::fail(CHECK, format!("there is no stack {name}"), DEPLOY);
    }
    let advice = if is_unreachable(error) {
        "check the network, --endpoint-url and AWS_ENDPOINT_URL"
    } else {
        "look at AWS's credentials and region (--profile, --region), \
        or do without with --local or --table"
    };
    Finding::fail(
        CHECK,
        format!("the stack {name} cannot be described ({})", causes(error)),
        advice,
    )
}

/// Checks how the last deployment ended.
fn status(name: &str, stack: &Stack) -> Finding {
    let status = stack.stack_status().map_or("", |status| status.as_str());
    let text = format!("{name} is {status}");
    let events =
        format!("`aws cloudformation describe-stack-events --stack-name {name}` shows the cause");
    match status {
        "CREATE_COMPLETE"
        | "UPDATE_COMPLETE"
        | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        | "IMPORT_COMPLETE" => Finding::ok(CHECK, text),
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Finding::fail(
            CHECK,
            format!("{text}: its last deployment was rolled back"),
            format!("{events}; fix it, and deploy again"),
        ),
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => Finding::fail(
            CHECK,
            format!("{text}, never deployed"),
            format!("{events}; fix it, run `sam delete`, and deploy again"),
        ),
        status if status.ends_with("IN_PROGRESS") => Finding::fail(
            CHECK,
            text,
            "wait until it has finished, and run doctor again",
        ),
        _ => Finding::fail(
            CHECK,
            text,
            format!("{events}; roll it back or delete it, and deploy again"),
        ),
    }
}

/// Checks that the deployed template is the one of this version.
async fn template(client: &Client, name: &str) -> Finding {
    const CHECK: &str = "template";
    let answer = client
        .get_template()
        .stack_name(name)
        .template_stage(TemplateStage::Original)
        .send()
        .await;
    let body = match answer {
        Ok(answer) => answer.template_body.unwrap_or_default(),
        Err(error) => {
            return Finding::fail(
                CHECK,
                format!("it cannot be read ({})", causes(&error)),
                RIGHTS,
            );
        }
    };
    let (deployed, ours) = match (parse(&body), parse(TEMPLATE)) {
        (Ok(deployed), Ok(ours)) => (deployed, ours),
        (Err(error), _) | (_, Err(error)) => return Finding::fail(CHECK, error.to_string(), AGAIN),
    };
    match differences(&types(&deployed), &types(&ours)) {
        None => Finding::ok(
            CHECK,
            format!(
                "it has the resources of version {}",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        Some(differences) => Finding::fail(
            CHECK,
            format!(
                "it differs from version {} ({differences})",
                env!("CARGO_PKG_VERSION")
            ),
            AGAIN,
        ),
    }
}

/// Checks that all resources exist that the template creates with the stack's parameters.
async fn resources(client: &Client, stack: &Stack) -> Finding {
    const CHECK: &str = "resources";
    let name = stack.stack_name().unwrap_or_default();
    let pages = client
        .list_stack_resources()
        .stack_name(name)
        .into_paginator()
        .items()
        .send();
    let there: Vec<StackResourceSummary> = match pages.try_collect().await {
        Ok(there) => there,
        Err(error) => {
            return Finding::fail(
                CHECK,
                format!("they cannot be listed ({})", causes(&error)),
                RIGHTS,
            );
        }
    };
    let resources = there.iter().filter(|resource| is_there(resource));
    let resources = resources.filter_map(StackResourceSummary::logical_resource_id);
    let outputs = stack.outputs().iter().filter_map(Output::output_key);
    let there: BTreeSet<_> = resources.chain(outputs).collect();
    let template = match parse(TEMPLATE) {
        Ok(template) => template,
        Err(error) => return Finding::fail(CHECK, error.to_string(), AGAIN),
    };
    let expected = expected(&template, stack, &there);
    let missing: Vec<_> = expected
        .iter()
        .filter(|id| !there.contains(&***id))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Finding::ok(
            CHECK,
            format!("all {} that its parameters select exist", expected.len()),
        );
    }
    Finding::fail(CHECK, format!("missing: {}", some(&missing)), AGAIN)
}

fn is_there(resource: &StackResourceSummary) -> bool {
    let status = resource
        .resource_status()
        .map_or("", |status| status.as_str());
    status.ends_with("COMPLETE") && status != "DELETE_COMPLETE"
}
