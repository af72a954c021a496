//! Clients of the AWS SDK, with the timeouts of [`crate::budget`].

use crate::{
    Settings,
    budget::{
        ATTEMPT, ATTEMPTS, BACKGROUND_ATTEMPT, FIRST_WAIT, IDLE_CONNECTIONS, LONGEST_WAIT,
        TIME_BUDGET,
    },
    clock::Clock,
    tls::network,
};
use aws_sdk_dynamodb::config::{
    BehaviorVersion, SharedHttpClient, StalledStreamProtectionConfig,
    retry::{RetryConfig, RetryPartition, TokenBucket},
    timeout::TimeoutConfig,
};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use std::time::Duration;

/// Transport, timeouts and retries of the AWS SDK's clients.
#[derive(Debug, Clone)]
pub struct Client {
    http: SharedHttpClient,
    /// The time budget of the table, and of the fallback queue.
    pub(crate) time_budget: Duration,
    /// Timeout of one attempt of a call.
    pub(crate) attempt: Duration,
    retry: RetryConfig,
    pub(crate) clock: Clock,
    /// Whether it is not a receiver's: its clock follows DynamoDB's.
    is_background: bool,
}

impl Client {
    /// Client over the network with short timeouts, for a receiver.
    #[must_use]
    pub fn new() -> Self {
        Self::with_transport(network(IDLE_CONNECTIONS))
    }

    /// Like [`new`](Self::new), over another transport, such as one that injects faults.
    #[must_use]
    pub fn with_transport(http: SharedHttpClient) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT)
            .with_max_backoff(LONGEST_WAIT);
        Self {
            http,
            time_budget: TIME_BUDGET,
            attempt: ATTEMPT,
            retry,
            clock: Clock::default(),
            is_background: false,
        }
    }

    /// Client over the network with long timeouts, for the other functions and the commands.
    #[must_use]
    pub fn background() -> Self {
        Self::background_with_transport(network(IDLE_CONNECTIONS))
    }

    /// Like [`background`](Self::background), over another transport.
    #[must_use]
    pub fn background_with_transport(http: SharedHttpClient) -> Self {
        let time_budget = BACKGROUND_ATTEMPT * ATTEMPTS;
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT);
        Self {
            http,
            time_budget,
            attempt: BACKGROUND_ATTEMPT,
            retry,
            clock: Clock::default(),
            is_background: true,
        }
    }

    /// Returns the same client with another clock than the system's.
    #[must_use]
    pub fn with_time_source(self, source: impl TimeSource + 'static) -> Self {
        Self {
            clock: Clock::new(SharedTimeSource::new(source)),
            ..self
        }
    }

    /// Returns the timeouts of a call whose attempts have the timeout `attempt`. The connect
    /// timeout is always the same: only calls with the same connect timeout share connections.
    pub(crate) fn timeout(&self, attempt: Duration) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(self.time_budget)
            .build()
    }

    pub(crate) fn dynamodb(&self, settings: &Settings) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(settings.region.clone())
            .credentials_provider(settings.credentials.clone())
            .http_client(self.http.clone())
            .time_source(self.clock.ours().clone())
            .retry_config(self.retry.clone())
            .retry_partition(unlimited())
            .timeout_config(self.timeout(self.attempt))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if self.is_background {
            config = config.interceptor(self.clock.clone());
        }
        config.set_endpoint_url(settings.dynamodb_endpoint.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(crate) fn sqs(&self, settings: &Settings) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(settings.region.clone())
            .credentials_provider(settings.credentials.clone())
            .http_client(self.http.clone())
            .time_source(self.clock.ours().clone())
            .retry_config(self.retry.clone())
            .retry_partition(unlimited())
            .timeout_config(self.timeout(self.attempt))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(settings.sqs_endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

/// Retries without the SDK's quota. Two minutes of an outage would use up the quota, and after that
/// one connection that was lost in a freeze would fail a call. The time budgets limit the load on a
/// failing store instead.
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
