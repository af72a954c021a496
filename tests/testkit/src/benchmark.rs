//! Measures a function: cold start, warm calls, memory and size, compared with minimal functions
//! and with other implementations.

mod share;
mod subject;
mod tls;

pub use share::Share;
pub use subject::{Subject, build};
pub use tls::Terminator;

use crate::{
    runtime_api::{Answer, Environment, Function},
    site::Site,
};
use serde::Serialize;
use share::Limit;
use std::{
    fs,
    time::{Duration, Instant},
};

/// How a function reaches DynamoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// Without TLS.
    Http,
    /// With TLS, like AWS: the cost of a real cold start.
    Tls,
}

/// The embedded DynamoDB, with and without TLS.
#[derive(Debug)]
pub struct Store {
    site: Site,
    terminator: Terminator,
}

impl Store {
    /// Starts a DynamoDB with an empty table.
    pub async fn start() -> Self {
        let site = Site::start().await;
        let terminator = Terminator::start(site.port()).await;
        Self { site, terminator }
    }

    /// The environment of a function that uses this DynamoDB.
    fn environment(&self, subject: &Subject, endpoint: Endpoint) -> Environment {
        let environment = subject.environment(&self.site.endpoint());
        match endpoint {
            Endpoint::Http => environment,
            Endpoint::Tls => self.terminator.trusted_by(environment),
        }
    }
}

/// A cold start.
#[derive(Debug, Clone, Copy)]
pub struct Cold {
    /// Time from the spawn of the process to its first response, with the event already pending.
    /// Init runs at full speed.
    pub whole: Duration,
    /// Time to handle the event, with the CPU limit.
    pub handler: Duration,
}

/// Starts a process, waits for its Init at full speed, as on Lambda, and passes its first event.
pub async fn cold(
    subject: &Subject,
    store: &Store,
    endpoint: Endpoint,
    share: Share,
    number: u32,
) -> Cold {
    let environment = store.environment(subject, endpoint);
    let mut function = Function::spawn(&subject.program, &environment).await;
    function.polled().await;
    let init = function.spawned.elapsed();
    let limit = share.limit(function.pid().unwrap());
    let asked = Instant::now();
    let answer = function.invoke(subject.event(number)).await;
    let handler = asked.elapsed();
    assert_stored(subject, &answer, &function);
    drop(limit);
    Cold {
        whole: init + handler,
        handler,
    }
}

/// A warm process with its own store.
#[derive(Debug)]
pub struct Warm {
    subject: Subject,
    function: Function,
    calls: u32,
    latencies: Vec<Duration>,
    cpu: Duration,
    /// Dropped after the function.
    _limit: Limit,
    _store: Store,
}

/// Cost of the calls of a warm process.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// The median latency.
    pub p50: Duration,
    /// The latency that one call in a hundred exceeds.
    pub p99: Duration,
    /// CPU time of each call.
    pub cpu: Duration,
    /// Peak memory of the process, in bytes.
    pub peak_memory: usize,
}

impl Warm {
    /// Starts a process, and calls it until it is warm.
    pub async fn start(subject: &Subject, endpoint: Endpoint, share: Share) -> Self {
        let store = Store::start().await;
        let environment = store.environment(subject, endpoint);
        let mut function = Function::spawn(&subject.program, &environment).await;
        function.polled().await;
        let limit = share.limit(function.pid().unwrap());
        let mut warm = Self {
            subject: subject.clone(),
            function,
            calls: 0,
            latencies: Vec::new(),
            cpu: Duration::ZERO,
            _limit: limit,
            _store: store,
        };
        warm.call(50).await;
        warm.latencies.clear();
        warm.cpu = Duration::ZERO;
        warm
    }

    /// Calls it this number of times, one call after the other.
    pub async fn call(&mut self, calls: u32) {
        let pid = self.function.pid().unwrap();
        let before = cpu_time(pid);
        for _ in 0..calls {
            let event = self.subject.event(self.calls);
            self.calls += 1;
            let asked = Instant::now();
            let answer = self.function.invoke(event).await;
            self.latencies.push(asked.elapsed());
            assert_stored(&self.subject, &answer, &self.function);
        }
        self.cpu += cpu_time(pid) - before;
    }

    /// Cost of the calls so far.
    #[must_use]
    pub fn cost(mut self) -> Calls {
        self.latencies.sort_unstable();
        let last = self.latencies.len() - 1;
        Calls {
            p50: self.latencies[last / 2],
            p99: self.latencies[last * 99 / 100],
            cpu: self.cpu / u32::try_from(self.latencies.len()).unwrap(),
            peak_memory: self.function.peak_memory(),
        }
    }
}

/// Cost of a delivery of some size in a warm process.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Size of the body, in bytes.
    pub bytes: usize,
    /// The median latency.
    pub p50: Duration,
    /// Peak memory of the process, in bytes.
    pub peak_memory: usize,
}

/// Starts a process and sends it this number of bodies. They differ only by their number.
pub async fn sized(subject: &Subject, calls: u32, body: impl Fn(u32) -> String) -> Size {
    let store = Store::start().await;
    let environment = store.environment(subject, Endpoint::Http);
    let mut function = Function::spawn(&subject.program, &environment).await;
    let mut latencies = Vec::new();
    for number in 0..calls {
        let event = subject.delivery(number, &body(number));
        let asked = Instant::now();
        let answer = function.invoke(event).await;
        latencies.push(asked.elapsed());
        assert_stored(subject, &answer, &function);
    }
    Size {
        bytes: body(0).len(),
        p50: median(latencies),
        peak_memory: function.peak_memory(),
    }
}

fn assert_stored(subject: &Subject, answer: &Answer, function: &Function) {
    let output = [function.stdout(), function.stderr()];
    assert_eq!(
        answer.status(),
        200,
        "{}: {answer:?} {output:?}",
        subject.name
    );
}

/// CPU time of all threads of a process.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.unwrap().path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The median of some durations.
#[must_use]
pub fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}
