//! Clock of a simulation (tokio's paused clock) and its random numbers (from the seed).

use fastrand::Rng;
use std::{
    ops::Range,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// The start of each simulation: 2040-01-02T00:00:00Z, in milliseconds since 1970.
const START_MS: u64 = 2_209_075_200_000;

#[derive(Debug)]
pub(crate) struct World {
    started: Instant,
    random: Mutex<Rng>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            started: Instant::now(),
            random: Mutex::new(Rng::with_seed(seed)),
        }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.started + at).await;
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Rng> {
        self.random.lock().unwrap()
    }

    pub(crate) fn one_in(&self, chances: u32) -> bool {
        self.random().u32(..chances) == 0
    }

    /// A random duration within a range of milliseconds.
    pub(crate) fn millis(&self, range: &Range<u64>) -> Duration {
        Duration::from_micros(self.random().u64(range.start * 1_000..range.end * 1_000))
    }
}

/// A time of a simulation in milliseconds since 1970.
pub(crate) fn epoch_ms(at: Duration) -> u64 {
    START_MS + u64::try_from(at.as_millis()).unwrap()
}

/// A time of a simulation since 1970.
pub(crate) fn since_1970(at: Duration) -> Duration {
    Duration::from_millis(START_MS) + at
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(crate) const fn hours(hours: u64) -> Duration {
    minutes(hours * 60)
}
