//! Table checks: the table exists with the keys and indexes of this version, and expires items.

use super::finding::Finding;
use crate::connection::{causes, keys};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::describe_table::DescribeTableError,
    types::{IndexStatus, TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveStatus},
};
use hookkeeper::template::{TEMPLATE, TableSchema, has_keys, table_schema};
use serde_json::Value;

const CHECK: &str = "table";
const EXPIRY: &str = "expiry";
const AGAIN: &str = "deploy this version again";
const WAIT: &str = "wait until it is ACTIVE, and run doctor again";

/// Checks a table by its name, which may be unknown with a reason. `local` is the port of the
/// DynamoDB of `cargo dev`.
pub(crate) async fn check(
    sdk: &SdkConfig,
    name: Result<String, &'static str>,
    local: Option<u16>,
) -> Vec<Finding> {
    let name = match name {
        Ok(name) => name,
        Err(why) => return vec![Finding::skip(CHECK, why), Finding::skip(EXPIRY, why)],
    };
    let client = Client::new(sdk);
    let schema = match table_schema(TEMPLATE, &name) {
        Ok(schema) => schema,
        Err(error) => {
            return vec![Finding::fail(
                CHECK,
                error.to_string(),
                "mend template.yaml",
            )];
        }
    };
    match client.describe_table().table_name(&name).send().await {
        Ok(described) => {
            let table = described.table.map(|table| state(&name, &table, &schema));
            let expiry = expiry(&client, &name, &schema).await;
            table.into_iter().chain([expiry]).collect()
        }
        Err(error) => vec![
            unasked(&name, &error, local),
            Finding::skip(EXPIRY, "the table cannot be described"),
        ],
    }
}

fn unasked(name: &str, error: &SdkError<DescribeTableError>, local: Option<u16>) -> Finding {
    let is_missing = error
        .as_service_error()
        .is_some_and(DescribeTableError::is_resource_not_found_exception);
    match (is_missing, local) {
        (true, _) => {
            let advice = "deploy again, or restore it (docs/operations.md), or name another one with --table";
            Finding::fail(CHECK, format!("there is no table {name}"), advice)
        }
        (false, Some(port)) => {
            let text = format!("nothing answers on 127.0.0.1:{port}");
            Finding::fail(
                CHECK,
                text,
                "start `cargo dev`, or name the port of its DynamoDB with --local=PORT",
            )
        }
        (false, None) => {
            let advice = "check the AWS credentials, their permissions, and the region (--profile, --region)";
            Finding::fail(
                CHECK,
                format!("{name} cannot be described ({})", causes(error)),
                advice,
            )
        }
    }
}

fn state(name: &str, table: &TableDescription, schema: &TableSchema) -> Finding {
    let status = table
        .table_status()
        .map_or("", TableStatus::as_str)
        .to_owned();
    let mut indexes = table.global_secondary_indexes().iter();
    let busy = indexes.find(|index| {
        let status = index.index_status();
        status.is_some_and(|status| *status != IndexStatus::Active)
    });
    if status != TableStatus::Active.as_str() {
        return Finding::fail(CHECK, format!("{name} is {status}"), WAIT);
    }
    if let Some(index) = busy {
        let status = index.index_status().map_or("", IndexStatus::as_str);
        let text = format!(
            "the index {} of {name} is {status}",
            index.index_name().unwrap_or_default()
        );
        return Finding::fail(CHECK, text, WAIT);
    }
    if !has_keys(&keys(table), &schema.create) {
        let text = format!(
            "the keys or indexes of {name} differ from those of version {}",
            env!("CARGO_PKG_VERSION")
        );
        return Finding::fail(CHECK, text, AGAIN);
    }
    Finding::ok(
        CHECK,
        format!("{name} is ACTIVE, with the template's keys and indexes"),
    )
}

/// Checks that the table expires items.
async fn expiry(client: &Client, name: &str, schema: &TableSchema) -> Finding {
    let wanted = schema
        .time_to_live
        .as_ref()
        .and_then(|request| request.pointer("/TimeToLiveSpecification/AttributeName"));
    let wanted = wanted.and_then(Value::as_str).unwrap_or_default();
    let answer = match client.describe_time_to_live().table_name(name).send().await {
        Ok(answer) => answer.time_to_live_description,
        Err(error) => {
            let text = format!("it cannot be read ({})", causes(&error));
            return Finding::fail(
                EXPIRY,
                text,
                "allow your AWS user dynamodb:DescribeTimeToLive",
            );
        }
    };
    if answer.is_some_and(|expiry| is_enabled(&expiry, wanted)) {
        return Finding::ok(EXPIRY, format!("by the attribute {wanted}"));
    }
    Finding::fail(
        EXPIRY,
        format!("{name} does not expire items by {wanted}"),
        AGAIN,
    )
}

fn is_enabled(expiry: &TimeToLiveDescription, attribute: &str) -> bool {
    matches!(
        expiry.time_to_live_status(),
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    ) && expiry.attribute_name() == Some(attribute)
}
