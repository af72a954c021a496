//! Time limits for storing a delivery, and the clock.
//!
//! The time budget is much shorter than a provider's timeout (10 s for Pipedrive, 2 s for amoCRM).
//! While a store hangs, every delivery occupies an execution environment. In an account without a
//! free environment, Lambda responds with a 5xx and does not call the function. So the time budgets
//! are short, and the same for every provider:
//!
//! | | |
//! |---|---|
//! | one attempt | 170 ms |
//! | one attempt to send megabytes to the queue | 40 ms more for each, at most 8 at once: 490 ms |
//! | the waits between three attempts, jittered | at most 20 ms + 40 ms |
//! | the time budget of a store, for three attempts | 3 x 170 + 20 + 40 = 570, so 600 ms |
//! | the time budgets of the table and the queue | 1,200 ms |
//! | left of 2 s for a cold start, the network and 5 MB to compress | 800 ms |
//!
//! A store that hangs uses its time budget and no more. Stores that refuse at once are tried again
//! after a pause of 50 ms, until the 1,200 ms are over: at most 24 times.
//!
//! For several megabytes, a time budget is too short for three attempts. That is better than three
//! attempts that are all too short.
//!
//! An attempt of 170 ms is thirty times DynamoDB's usual latency. A connection that was lost while
//! the environment was frozen costs one attempt. The process enforces the deadlines itself.
//! Lambda's `Timeout` is much longer: if Lambda ended the function, nothing would be sent to the
//! fallback queue.

use models::Timestamp;
use std::time::{Duration, SystemTime};

/// The time budget of the table, and of the fallback queue, for all records of a delivery together.
pub const TIME_BUDGET: Duration = Duration::from_millis(600);
/// Timeout of one attempt of a call, including connecting.
pub const ATTEMPT: Duration = Duration::from_millis(170);
/// Additional timeout of an attempt to send to the queue, for each megabyte that is sent
/// concurrently: a receiver has a fraction of one CPU to sign and encrypt it. That takes 20 ms as
/// measured; the rest is for a busy CPU.
pub const ATTEMPT_PER_MEGABYTE: Duration = Duration::from_millis(40);
/// Maximum number of attempts of a call.
pub const ATTEMPTS: u32 = 3;
/// Maximum wait before the second attempt. It doubles before the third.
pub const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Maximum wait between two attempts.
pub const LONGEST_WAIT: Duration = Duration::from_millis(40);
/// Wait before both stores are tried again, if neither accepted a record and there is time left.
pub const PAUSE: Duration = Duration::from_millis(50);
/// Number of idle connections that stay open between deliveries. A freeze can break all of them,
/// and an attempt finds out about one. With one connection fewer than attempts, the last attempt
/// opens a new one.
pub const IDLE_CONNECTIONS: usize = ATTEMPTS as usize - 1;
/// Timeout of one attempt of a call while no provider waits: for the drain and the CLI. Three
/// attempts fit in the drain's `Timeout`.
pub const BACKGROUND_ATTEMPT: Duration = Duration::from_secs(5);
/// How long an environment that saw the table fail uses the fallback queue first. After that, one
/// attempt tests whether the table is available again.
pub const QUEUE_FIRST: Duration = Duration::from_secs(5);

const _: () = assert!(
    ATTEMPT.as_millis() * ATTEMPTS as u128 + FIRST_WAIT.as_millis() + LONGEST_WAIT.as_millis()
        <= TIME_BUDGET.as_millis(),
    "a time_budget holds all attempts"
);

/// Returns the timeout of one attempt to send to the queue. `attempt` is the timeout of the
/// client's other attempts, and `bytes` is the amount sent concurrently.
pub(crate) fn attempt_to_send(attempt: Duration, bytes: usize) -> Duration {
    let kilobytes = u32::try_from(bytes / 1_000).unwrap_or(u32::MAX);
    attempt + ATTEMPT_PER_MEGABYTE * kilobytes / 1_000
}

/// Returns the current time of the system clock.
#[must_use]
pub fn now() -> Timestamp {
    SystemTime::now().into()
}
