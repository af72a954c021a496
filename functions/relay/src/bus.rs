//! Publishing to an EventBridge bus: batches, retries, and what a refusal leads to.

use crate::Outgoing;
use aws_sdk_eventbridge::{
    Client, Config,
    config::{
        BehaviorVersion, StalledStreamProtectionConfig,
        retry::{RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::put_events::PutEventsError,
    types::PutEventsResultEntry,
};
use std::time::Duration;
use storage::{
    Failure, Settings,
    budget::{ATTEMPTS, BACKGROUND_ATTEMPT, FIRST_WAIT, IDLE_CONNECTIONS},
    endpoint, network,
};
use tokio::time::sleep;

/// Maximum number of entries of a call, and their maximum size together, in bytes.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
const MAX_ENTRIES: usize = 10;
const MAX_CALL_BYTES: usize = 1_000_000;

/// Words in the error code of an entry that EventBridge may take later, such as `InternalFailure`,
/// `ThrottlingException`, or, when somebody has corrected the rights, `AccessDeniedException`. Any
/// other code is a refusal.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html>
const OUTAGES: [&str; 6] = [
    "AccessDenied",
    "Internal",
    "LimitExceeded",
    "Throttl",
    "TooManyRequests",
    "Unavailable",
];
/// Number of times that a batch is put: an event may fail at first, then be refused with its data,
/// and then be taken without it.
const ROUNDS: usize = 3;
/// Error codes of a call that one of its entries causes.
const INVALID: [&str; 2] = ["SerializationException", "ValidationException"];
/// HTTP status of a call that is too large.
const TOO_LARGE: u16 = 413;
/// Wait before entries that failed are sent again: once, then twice this long.
const WAIT: Duration = Duration::from_millis(100);

/// An event bus, and the name of the table whose events it gets.
#[derive(Debug, Clone)]
pub struct Bus {
    client: Client,
    name: String,
    table: String,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The bus took it.
    Published,
    /// The bus refuses it, also without its data. The failure has the error code.
    Refused(Failure),
    /// The bus may take it later.
    Failed(Failure),
}

/// An event of a batch.
pub struct Entry {
    /// The event.
    pub event: Outgoing,
    /// What became of it so far.
    pub outcome: Outcome,
}

/// Events that fit into one call.
#[derive(Default)]
pub struct Batch(Vec<Entry>);

impl Batch {
    /// Whether one more event fits into the call.
    #[must_use]
    pub fn has_room_for(&self, event: &Outgoing) -> bool {
        let bytes: usize = self.0.iter().map(|entry| entry.event.bytes()).sum();
        self.0.len() < MAX_ENTRIES && bytes + event.bytes() <= MAX_CALL_BYTES
    }

    /// Adds an event.
    pub fn push(&mut self, event: Outgoing) {
        let outcome = Outcome::Failed(Failure::timeout());
        self.0.push(Entry { event, outcome });
    }

    /// The events, in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The events that the bus may take.
    fn waiting(&mut self) -> Vec<&mut Entry> {
        let entries = self.0.iter_mut();
        let waiting = entries.filter(|entry| matches!(entry.outcome, Outcome::Failed(_)));
        waiting.collect()
    }

    /// Lets refused events wait for another attempt, without their data. Returns whether there are
    /// any.
    fn remove_data_of_refused(&mut self, table: &str) -> bool {
        let mut are_any = false;
        for entry in &mut self.0 {
            if matches!(entry.outcome, Outcome::Refused(_)) && entry.event.has_data() {
                entry.event.remove_data(table);
                entry.outcome = Outcome::Failed(Failure::timeout());
                are_any = true;
            }
        }
        are_any
    }
}

impl Bus {
    /// Creates a bus over an SDK client of a command.
    #[must_use]
    pub fn new(client: Client, name: String, table: String) -> Self {
        Self {
            client,
            name,
            table,
        }
    }

    /// Creates a bus with the settings of a function.
    #[must_use]
    pub fn from_settings(settings: &Settings, name: String) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT);
        // An outage must not use up the retries of later batches.
        let unlimited = RetryPartition::custom("hookkeeper")
            .token_bucket(TokenBucket::unlimited())
            .build();
        let timeout = TimeoutConfig::builder()
            .connect_timeout(BACKGROUND_ATTEMPT)
            .operation_attempt_timeout(BACKGROUND_ATTEMPT)
            .build();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(settings.region.clone())
            .credentials_provider(settings.credentials.clone())
            .http_client(network(IDLE_CONNECTIONS))
            .retry_config(retry)
            .retry_partition(unlimited)
            .timeout_config(timeout)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(endpoint("AWS_ENDPOINT_URL_EVENTBRIDGE"));
        let client = Client::from_conf(config.build());
        Self::new(client, name, settings.table.clone())
    }

    /// Publishes a batch. An event that the bus refuses is published once more without its data.
    pub async fn publish(&self, batch: &mut Batch) {
        for _ in 0..ROUNDS {
            let put = self.put(batch).await;
            // After an outage too: an event that was not tried without its data is not refused yet.
            let is_left = batch.remove_data_of_refused(&self.table);
            if put.is_err() || !is_left {
                return;
            }
        }
    }

    /// Puts the events that wait, several times if EventBridge fails to take single ones.
    ///
    /// # Errors
    /// The [`Failure`] of a whole call, which the SDK has tried several times.
    async fn put(&self, batch: &mut Batch) -> Result<(), Failure> {
        for attempt in 0..ATTEMPTS {
            let mut waiting = batch.waiting();
            if waiting.is_empty() {
                break;
            }
            if attempt > 0 {
                sleep(WAIT * attempt).await;
            }
            if let Err(failure) = self.call(&mut waiting).await {
                for entry in batch.waiting() {
                    entry.outcome = Outcome::Failed(failure.clone());
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Puts events in one call. If EventBridge finds it invalid, puts them one by one.
    ///
    /// # Errors
    /// The [`Failure`] of a whole call.
    async fn call(&self, waiting: &mut [&mut Entry]) -> Result<(), Failure> {
        let entries = waiting.iter().map(|entry| entry.event.entry(&self.name));
        let put = self
            .client
            .put_events()
            .set_entries(Some(entries.collect()));
        match (put.send().await, waiting) {
            (Ok(answer), waiting) => {
                let mut results = answer.entries.unwrap_or_default().into_iter();
                for entry in waiting {
                    entry.outcome = outcome(results.next());
                }
            }
            (Err(error), [entry]) if is_of_an_entry(&error) => {
                entry.outcome = Outcome::Refused(Failure::from(&error));
            }
            (Err(error), waiting) if is_of_an_entry(&error) => {
                for entry in waiting {
                    Box::pin(self.call(&mut [entry])).await?;
                }
            }
            (Err(error), _) => return Err(Failure::from(&error)),
        }
        Ok(())
    }
}

/// Whether EventBridge finds a call invalid because of one of its entries.
fn is_of_an_entry(error: &SdkError<PutEventsError>) -> bool {
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    status == Some(TOO_LARGE) || error.code().is_some_and(|code| INVALID.contains(&code))
}

fn is_of_an_outage(code: &str) -> bool {
    OUTAGES.iter().any(|word| code.contains(word))
}

/// What became of an event, by the result of its entry.
fn outcome(result: Option<PutEventsResultEntry>) -> Outcome {
    let Some(result) = result else {
        return Outcome::Failed(Failure::bad_answer());
    };
    match (result.event_id, result.error_code) {
        (_, Some(code)) if is_of_an_outage(&code) => Outcome::Failed(Failure::refused(&code)),
        (_, Some(code)) => Outcome::Refused(Failure::refused(&code)),
        (Some(_), None) => Outcome::Published,
        (None, None) => Outcome::Failed(Failure::bad_answer()),
    }
}
