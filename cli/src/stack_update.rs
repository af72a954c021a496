//! Update of one parameter of a stack. Its template and its other parameters stay as they are.

use crate::{
    Failure,
    connection::{causes, parameter, stack},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::ProvideErrorMetadata,
    types::{Capability, Parameter, Stack},
};
use std::{fs, io, iter, path::Path, time::Duration};

/// Waits between two descriptions of a stack that is being updated: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Configuration file of the SAM CLI.
const SAMCONFIG: &str = "samconfig.toml";

/// Sets a parameter of a stack, and waits until the update is complete. Does nothing if the
/// parameter has this value.
pub(crate) async fn set_parameter(
    sdk: &SdkConfig,
    name: &str,
    key: &str,
    value: &str,
) -> Result<Stack, Failure> {
    let before = settled(sdk, name).await?;
    match parameter::<String>(&before, key) {
        None => {
            let error = format!("the stack {name} has no parameter {key}: deploy this version");
            return Err(error.into());
        }
        Some(current) if current == value => return Ok(before),
        Some(_) => {}
    }
    let parameters = before.parameters().iter();
    let parameters = parameters.map(|current| changed(current, key, value));
    let update = Client::new(sdk)
        .update_stack()
        .stack_name(name)
        .use_previous_template(true)
        .set_parameters(Some(parameters.collect()))
        .capabilities(Capability::CapabilityIam)
        .capabilities(Capability::CapabilityAutoExpand);
    if let Err(error) = update.send().await {
        // The SDK may have sent it twice.
        let message = error.message().unwrap_or_default();
        let is_done = ["No updates", "IN_PROGRESS"].map(|text| message.contains(text));
        if is_done == [false; 2] {
            let cause = causes(&error);
            return Err(format!("the stack {name} cannot be updated ({cause})").into());
        }
    }
    let after = settled(sdk, name).await?;
    if parameter::<String>(&after, key).as_deref() == Some(value) {
        return Ok(after);
    }
    Err(format!(
        "the update of the stack {name} was rolled back: \
        `aws cloudformation describe-stack-events --stack-name {name}` shows the cause"
    )
    .into())
}

/// A parameter of the update: the new value, or the previous one.
fn changed(current: &Parameter, key: &str, value: &str) -> Parameter {
    let name = current.parameter_key.clone().unwrap_or_default();
    let update = Parameter::builder();
    let update = if name == key {
        update.parameter_value(value)
    } else {
        update.use_previous_value(true)
    };
    update.parameter_key(name).build()
}

/// Describes a stack when no update is in progress.
async fn settled(sdk: &SdkConfig, name: &str) -> Result<Stack, Failure> {
    let mut waits = waits();
    loop {
        let stack = stack(sdk, name).await?;
        if is_settled(&stack) {
            return Ok(stack);
        }
        tokio::time::sleep(waits.next().unwrap_or(MAX_WAIT)).await;
    }
}

/// Waits between two descriptions of a stack that is being created or updated. They never end.
pub(crate) fn waits() -> impl Iterator<Item = Duration> {
    iter::successors(Some(FIRST_WAIT), |wait| Some((*wait * 2).min(MAX_WAIT)))
}

/// Whether no creation or update of the stack is in progress. The removal of what an update
/// replaced may be.
pub(crate) fn is_settled(stack: &Stack) -> bool {
    let status = status(stack);
    status.ends_with("COMPLETE_CLEANUP_IN_PROGRESS") || !status.ends_with("IN_PROGRESS")
}

/// Status of a stack: `UPDATE_COMPLETE`.
pub(crate) fn status(stack: &Stack) -> &str {
    stack.stack_status().map_or("", |status| status.as_str())
}

/// Sets a parameter in `samconfig.toml` in the current folder, if it is there with another value:
/// the next `sam deploy` would restore it. Returns what the user must know.
pub(crate) fn update_samconfig(key: &str, value: &str) -> io::Result<Option<String>> {
    let path = Path::new(SAMCONFIG);
    let config = match fs::read_to_string(path) {
        Ok(config) => config,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(updated) = with_parameter(&config, key, value) else {
        let is_named = config.contains(key);
        return Ok(is_named.then(|| {
            format!("{SAMCONFIG} names {key}: set it to {value}, or `sam deploy` restores it")
        }));
    };
    if updated == config {
        return Ok(None);
    }
    fs::write(path, updated)?;
    Ok(Some(format!("{SAMCONFIG}: {key} is updated")))
}

/// The configuration with another value in its only `KEY=VALUE`. `None`: there is none, or several.
fn with_parameter(config: &str, key: &str, value: &str) -> Option<String> {
    let (before, rest) = config.split_once(&format!("{key}="))?;
    if rest.contains(&format!("{key}=")) {
        return None;
    }
    let is_value = |char: char| char.is_ascii_alphanumeric() || ":,-".contains(char);
    let end = rest.find(|char| !is_value(char)).unwrap_or(rest.len());
    let after = rest.get(end..).unwrap_or_default();
    Some(format!("{before}{key}={value}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_in_samconfig_gets_the_new_value() {
        let cases = [
            (
                r#"parameter_overrides = "AmocrmKeys=a:1 PipedriveCredentials=a:1,b:2 X=y""#,
                Some(r#"parameter_overrides = "AmocrmKeys=a:1 PipedriveCredentials=c:3 X=y""#),
            ),
            (
                r#"parameter_overrides = ["PipedriveCredentials="]"#,
                Some(r#"parameter_overrides = ["PipedriveCredentials=c:3"]"#),
            ),
            ("PipedriveCredentials=a:1\nPipedriveCredentials=b:2", None),
            ("PipedriveCredentials = 'a:1'", None),
        ];
        for (config, expected) in cases {
            let updated = with_parameter(config, "PipedriveCredentials", "c:3");
            assert_eq!(updated.as_deref(), expected, "{config}");
        }
    }
}
