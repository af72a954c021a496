//! Settings of the storage, from the process environment.

use crate::{Policy, tls};
use aws_sdk_dynamodb::config::{Credentials, Region};
use std::{env, io, str::FromStr, time::Duration};

/// Settings of the table and the fallback queue: names, endpoints, credentials and the policy of
/// storing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOOKKEEPER_TABLE`: the name of the table.
    pub table: String,
    /// `HOOKKEEPER_FALLBACK_QUEUE_URL`: the URL of the fallback queue. Without one, a delivery that
    /// the table does not accept gets a 503 response.
    pub fallback_queue: Option<String>,
    /// `HOOKKEEPER_RETENTION_DAYS` and `HOOKKEEPER_QUARANTINE_DAYS`: how long events and
    /// quarantined deliveries are stored. If one is unset or `0`, they never expire.
    /// `HOOKKEEPER_COMPRESS_ABOVE_BYTES`: longer texts are compressed. If it is unset: 4096.
    pub policy: Policy,
    /// `AWS_REGION`.
    pub region: Region,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or else `AWS_ENDPOINT_URL`. If neither is set: AWS's endpoint.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SQS`, or else `AWS_ENDPOINT_URL`. If neither is set: AWS's endpoint.
    pub sqs_endpoint: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`. Lambda sets them for the
    /// lifetime of an execution environment.
    pub credentials: Credentials,
}

/// An error in the environment that prevents the start.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable is unset or empty.
    #[error("the environment variable {0} is not set")]
    Unset(&'static str),
    /// `AWS_CA_BUNDLE` names a file that cannot be read or has no certificate.
    #[error("the file in AWS_CA_BUNDLE cannot be read as certificates: {0}")]
    Bundle(io::Error),
    /// A variable is not a whole number.
    #[error("the environment variable {0} is not a whole number")]
    NotANumber(&'static str),
}

impl Settings {
    /// Reads the settings from the process environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        tls::bundle().transpose().map_err(SettingsError::Bundle)?;
        Ok(Self {
            table: require("HOOKKEEPER_TABLE")?,
            fallback_queue: variable("HOOKKEEPER_FALLBACK_QUEUE_URL"),
            policy: Policy {
                retention: days("HOOKKEEPER_RETENTION_DAYS")?,
                quarantine: days("HOOKKEEPER_QUARANTINE_DAYS")?,
                compress_above: number("HOOKKEEPER_COMPRESS_ABOVE_BYTES")?
                    .unwrap_or(Policy::default().compress_above),
            },
            region: Region::new(require("AWS_REGION")?),
            dynamodb_endpoint: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            sqs_endpoint: endpoint("AWS_ENDPOINT_URL_SQS"),
            credentials: Credentials::new(
                require("AWS_ACCESS_KEY_ID")?,
                require("AWS_SECRET_ACCESS_KEY")?,
                variable("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ),
        })
    }

    /// Creates the settings of a table behind a local endpoint, which does not check credentials.
    #[must_use]
    pub fn local(table: &str, dynamodb_endpoint: String) -> Self {
        Self {
            table: table.to_owned(),
            fallback_queue: None,
            policy: Policy::default(),
            region: Region::from_static("us-east-1"),
            dynamodb_endpoint: Some(dynamodb_endpoint),
            sqs_endpoint: None,
            credentials: Credentials::new("local", "local", None, None, "local"),
        }
    }
}

/// Reads the endpoint of a service, else of all services, from the process environment.
#[must_use]
pub fn endpoint(service: &str) -> Option<String> {
    variable(service).or_else(|| variable("AWS_ENDPOINT_URL"))
}

/// A number of days. 0: without end.
fn days(name: &'static str) -> Result<Option<Duration>, SettingsError> {
    let days: u32 = number(name)?.unwrap_or(0);
    Ok((days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400)))
}

fn number<T: FromStr>(name: &'static str) -> Result<Option<T>, SettingsError> {
    let text = variable(name);
    let number = text.map(|text| text.parse().map_err(|_| SettingsError::NotANumber(name)));
    number.transpose()
}

/// Reads a variable of the process environment.
///
/// # Errors
/// [`SettingsError::Unset`].
pub fn require(name: &'static str) -> Result<String, SettingsError> {
    variable(name).ok_or(SettingsError::Unset(name))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
