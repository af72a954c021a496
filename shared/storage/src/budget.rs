//! How long keeping a delivery may take, and the clock.
//!
//! A provider's patience (10 s for Pipedrive, 2 s for amoCRM) is no budget to use up: while a store hangs, every delivery
//! holds an execution environment, and an account that has none left answers 5xx without asking us. So the shares are
//! short, and the same for every provider:
//!
//! | | |
//! |---|---|
//! | one attempt | 170 ms |
//! | one attempt to send megabytes to the queue | 40 ms more for each, of the 8 at most at the same time: 490 ms |
//! | the waits between three attempts, jittered | at most 20 ms + 40 ms |
//! | a share of three attempts | 3 x 170 + 20 + 40 = 570, so 600 ms |
//! | the table's share, then the spool's | 1,200 ms |
//! | left of 2 s for a cold start, the network and 5 MB to compress | 800 ms |
//!
//! A store that hangs has its share and no more. Stores that refuse at once are asked again after a pause of 50 ms, until the
//! 1,200 ms are over: 24 times at the most.
//!
//! Several megabytes have fewer than three attempts in a share, and that is better than three of which none can be in time.
//!
//! An attempt of 170 ms is thirty times what DynamoDB takes, and a connection that died in a freeze costs one of them. The
//! deadlines live in the process. Lambda's `Timeout` stands well above them: a kill would skip the spool.

use models::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The table's share of a delivery's time, and the spool's: for all of its records together.
pub const SHARE: Duration = Duration::from_millis(600);
/// One attempt of a call, connecting included.
pub const ATTEMPT: Duration = Duration::from_millis(170);
/// What an attempt to send to the queue has more for each megabyte that is sent at the same time: a receiver has a share of
/// one processor to sign and encrypt it with. As measured, that takes 20 ms; the rest is for a busy one.
pub const ATTEMPT_PER_MEGABYTE: Duration = Duration::from_millis(40);
/// Attempts of a call.
pub const ATTEMPTS: u32 = 3;
/// The longest wait before the second attempt; it doubles before the third.
pub const FIRST_WAIT: Duration = Duration::from_millis(20);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_millis(40);
/// The wait before both stores are asked again, where neither took a record and there is time left.
pub const PAUSE: Duration = Duration::from_millis(50);
/// How many connections stay open between deliveries. A freeze can be the end of all of them, and an attempt finds that out
/// of one: the last attempt has a new one.
pub const IDLE_CONNECTIONS: usize = ATTEMPTS as usize - 1;
/// One attempt of a call for which no provider waits: the drain's, and a person's. Three fit in the drain's `Timeout`.
pub const BACKGROUND_ATTEMPT: Duration = Duration::from_secs(5);
/// How long an environment that saw the table fail goes to the spool first, before one attempt shows whether it is back.
pub const QUEUE_FIRST: Duration = Duration::from_secs(5);

const _: () = assert!(
    ATTEMPT.as_millis() * ATTEMPTS as u128 + FIRST_WAIT.as_millis() + LONGEST_WAIT.as_millis()
        <= SHARE.as_millis(),
    "a share holds all attempts"
);

/// One attempt to send to the queue, of a client whose attempts have `attempt`, while so many bytes are sent at the same time.
pub(crate) fn attempt_to_send(attempt: Duration, bytes: usize) -> Duration {
    let kilobytes = u32::try_from(bytes / 1_000).unwrap_or(u32::MAX);
    attempt + ATTEMPT_PER_MEGABYTE * kilobytes / 1_000
}

/// The time by this machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_unix(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
