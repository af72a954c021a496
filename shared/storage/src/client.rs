//! The SDK's clients, with the timeouts of [`crate::time`].

use crate::{
    Settings,
    budget::{
        ATTEMPT, ATTEMPTS, BACKGROUND_ATTEMPT, FIRST_WAIT, IDLE_CONNECTIONS, LONGEST_WAIT, SHARE,
    },
    tls::network,
};
use aws_sdk_dynamodb::config::{
    BehaviorVersion, SharedHttpClient, StalledStreamProtectionConfig,
    retry::{RetryConfig, RetryPartition, TokenBucket},
    timeout::TimeoutConfig,
};
use std::time::Duration;

/// How the clients reach AWS, and how long they wait.
#[derive(Debug, Clone)]
pub struct Client {
    http: SharedHttpClient,
    /// The table's share of a delivery's time, and the spool's.
    pub(crate) share: Duration,
    /// One attempt of a call.
    pub(crate) attempt: Duration,
    retry: RetryConfig,
}

impl Client {
    /// Over the network, within a receiver's shares.
    #[must_use]
    pub fn new() -> Self {
        Self::over(network(IDLE_CONNECTIONS))
    }

    /// Over another transport, like one that injects faults.
    #[must_use]
    pub fn over(http: SharedHttpClient) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT)
            .with_max_backoff(LONGEST_WAIT);
        Self {
            http,
            share: SHARE,
            attempt: ATTEMPT,
            retry,
        }
    }

    /// Over the network, for whom no provider waits: a table that is slow is better than none.
    #[must_use]
    pub fn background() -> Self {
        Self::background_over(network(IDLE_CONNECTIONS))
    }

    /// The same over another transport.
    #[must_use]
    pub fn background_over(http: SharedHttpClient) -> Self {
        let share = BACKGROUND_ATTEMPT * ATTEMPTS;
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT);
        Self {
            http,
            share,
            attempt: BACKGROUND_ATTEMPT,
            retry,
        }
    }

    /// The timeouts of a call, given that of one attempt. That of connecting is always the same: connections are shared by
    /// calls for which it is.
    pub(crate) fn timeout(&self, attempt: Duration) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(self.share)
            .build()
    }

    pub(crate) fn dynamodb(&self, settings: &Settings) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(settings.region.clone())
            .credentials_provider(settings.credentials.clone())
            .http_client(self.http.clone())
            .retry_config(self.retry.clone())
            .retry_partition(unlimited())
            .timeout_config(self.timeout(self.attempt))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(settings.dynamodb_endpoint.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(crate) fn sqs(&self, settings: &Settings) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(settings.region.clone())
            .credentials_provider(settings.credentials.clone())
            .http_client(self.http.clone())
            .retry_config(self.retry.clone())
            .retry_partition(unlimited())
            .timeout_config(self.timeout(self.attempt))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(settings.sqs_endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

/// Retries without the SDK's quota, which two minutes of an outage use up: then the one connection that died in a freeze
/// would be a failure too. The shares are what spares a store in trouble.
fn unlimited() -> RetryPartition {
    RetryPartition::custom("hookkeeper")
        .token_bucket(TokenBucket::unlimited())
        .build()
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
