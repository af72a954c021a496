//! Rate limit of an API: 429, and then a block for those who go on.

use std::{collections::VecDeque, time::Duration};

/// How long a client is blocked that continues after a 429 response. No vendor has published it.
const BLOCKED_FOR: Duration = Duration::from_mins(1);

/// Counts the requests of a client.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    window: Duration,
    recent: VecDeque<Duration>,
    /// Time of the last 429 response.
    refused: Option<Duration>,
    blocked_until: Duration,
}

/// Whether a request is within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is. Contains the number of requests that are left.
    Within(usize),
    /// 429. Contains the number of requests that are left.
    Exceeded(usize),
    /// 403.
    Blocked,
}

impl Limiter {
    pub(crate) fn new(limit: usize, window: Duration) -> Self {
        Self {
            limit,
            window,
            recent: VecDeque::new(),
            refused: None,
            blocked_until: Duration::ZERO,
        }
    }

    pub(crate) fn admit(&mut self, now: Duration) -> Admission {
        if now < self.blocked_until {
            return Admission::Blocked;
        }
        self.recent.retain(|at| now < *at + self.window);
        if self.recent.len() < self.limit {
            self.recent.push_back(now);
            return Admission::Within(self.limit - self.recent.len());
        }
        if self
            .refused
            .is_some_and(|refused| now < refused + self.window)
        {
            self.blocked_until = now + BLOCKED_FOR;
            return Admission::Blocked;
        }
        self.refused = Some(now);
        Admission::Exceeded(0)
    }
}
