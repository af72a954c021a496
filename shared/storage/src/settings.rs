//! Settings of the storage, from the process environment.

use crate::tls;
use aws_sdk_dynamodb::config::{Credentials, Region};
use std::{env, io, time::Duration};

/// Settings of the table and the fallback queue: names, endpoints, credentials and retention.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOOKKEEPER_TABLE`: the name of the table.
    pub table: String,
    /// `HOOKKEEPER_SPOOL_URL`: the URL of the fallback queue. Without one, a delivery that the
    /// table does not accept gets a 503 response.
    pub fallback_queue: Option<String>,
    /// `HOOKKEEPER_RETENTION_DAYS`: how long events are stored. If it is unset or `0`, they never
    /// expire.
    pub retention: Option<Duration>,
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
    #[error("AWS_CA_BUNDLE names a file that cannot be used ({0})")]
    Bundle(io::Error),
    /// `HOOKKEEPER_RETENTION_DAYS` is not a number of days.
    #[error("HOOKKEEPER_RETENTION_DAYS is not a number of days (0 keeps events for ever)")]
    Retention,
}

impl Settings {
    /// Reads the settings from the process environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        let days = variable("HOOKKEEPER_RETENTION_DAYS").unwrap_or_else(|| "0".to_owned());
        let days: u32 = days.parse().map_err(|_| SettingsError::Retention)?;
        tls::bundle().transpose().map_err(SettingsError::Bundle)?;
        let endpoint = |service| variable(service).or_else(|| variable("AWS_ENDPOINT_URL"));
        Ok(Self {
            table: require("HOOKKEEPER_TABLE")?,
            fallback_queue: variable("HOOKKEEPER_SPOOL_URL"),
            retention: (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400)),
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
            retention: None,
            region: Region::from_static("us-east-1"),
            dynamodb_endpoint: Some(dynamodb_endpoint),
            sqs_endpoint: None,
            credentials: Credentials::new("local", "local", None, None, "local"),
        }
    }
}

fn require(name: &'static str) -> Result<String, SettingsError> {
    variable(name).ok_or(SettingsError::Unset(name))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
