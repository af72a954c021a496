//! What a function costs: its cold start, its warm calls, its memory and its size, beside floors and peers.

mod share;
mod subject;
mod tls;

pub use share::Share;
pub use subject::{Subject, build};
pub use tls::Terminator;

use crate::runtime_api::{Environment, Function};
use hookkeeper::{
    local::{Data, DynamoDb},
    template::TEMPLATE,
};
use serde::Serialize;
use std::{
    fs,
    time::{Duration, Instant},
};

/// How a function reaches DynamoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// In the clear.
    Http,
    /// Behind TLS, as AWS is: what a real cold start pays.
    Tls,
}

/// The embedded DynamoDB, in the clear and behind TLS.
#[derive(Debug)]
pub struct Store {
    dynamodb: DynamoDb,
    terminator: Terminator,
}

impl Store {
    /// Starts one, with an empty table.
    pub async fn start() -> Self {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let terminator = Terminator::start(dynamodb.port()).await;
        Self { dynamodb, terminator }
    }

    /// The environment of a function that is to use it.
    fn environment(&self, subject: &Subject, endpoint: Endpoint) -> Environment {
        let environment = subject.environment(&self.dynamodb.endpoint());
        match endpoint {
            Endpoint::Http => environment,
            Endpoint::Tls => self.terminator.trusted_by(environment),
        }
    }
}

/// A cold start.
#[derive(Debug, Clone, Copy)]
pub struct Cold {
    /// From the spawn of the process to its first answer, the event having waited for it; Init at full speed.
    pub whole: Duration,
    /// The part of it in which the event was handled, at the share of the processor.
    pub handler: Duration,
}

/// Starts a fresh process, lets it finish its Init at full speed as Lambda does, and gives it its first event.
pub async fn cold(subject: &Subject, store: &Store, endpoint: Endpoint, share: Share, number: u32) -> Cold {
    let environment = store.environment(subject, endpoint);
    let started = Instant::now();
    let mut function = Function::spawn(&subject.program, &environment).await;
    function.polled().await;
    let limit = share.limit(function.pid().unwrap());
    let init = started.elapsed();
    let asked = Instant::now();
    let answer = function.invoke(subject.event(number)).await;
    let handler = asked.elapsed();
    assert_eq!(answer.status(), 200, "{}: {answer:?} {}", subject.name, function.stderr());
    drop(limit);
    Cold { whole: init + handler, handler }
}

/// Many calls of one process, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Warm {
    /// The median latency.
    pub p50: Duration,
    /// The latency that one call in a hundred exceeds.
    pub p99: Duration,
    /// Processor time a call.
    pub cpu: Duration,
    /// The most memory that the process held, in bytes.
    pub peak_memory: usize,
}

/// Starts a process and calls it so many times.
pub async fn warm(subject: &Subject, endpoint: Endpoint, share: Share, calls: u32) -> Warm {
    const WARM_UP: u32 = 50;
    let store = Store::start().await;
    let mut function = Function::spawn(&subject.program, &store.environment(subject, endpoint)).await;
    function.polled().await;
    let pid = function.pid().unwrap();
    let limit = share.limit(pid);
    for number in 0..WARM_UP {
        assert_eq!(function.invoke(subject.event(number)).await.status(), 200, "{}", subject.name);
    }
    let mut latencies = Vec::with_capacity(calls as usize);
    let before = cpu_time(pid);
    for number in WARM_UP..WARM_UP + calls {
        let event = subject.event(number);
        let asked = Instant::now();
        let answer = function.invoke(event).await;
        latencies.push(asked.elapsed());
        assert_eq!(answer.status(), 200, "{}", subject.name);
    }
    let cpu = (cpu_time(pid) - before) / calls;
    drop(limit);
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    Warm { p50: at(50), p99: at(99), cpu, peak_memory: function.peak_memory() }
}

/// What a delivery of some size costs a warm process.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Of the body, in bytes.
    pub bytes: usize,
    /// The median latency.
    pub p50: Duration,
    /// The most memory that the process held, in bytes.
    pub peak_memory: usize,
}

/// Starts a process and has it receive so many bodies, which differ by their number alone.
pub async fn sized(subject: &Subject, calls: u32, body: impl Fn(u32) -> String) -> Size {
    let store = Store::start().await;
    let mut function = Function::spawn(&subject.program, &store.environment(subject, Endpoint::Http)).await;
    let mut latencies = Vec::new();
    for number in 0..calls {
        let event = subject.delivery(number, &body(number));
        let asked = Instant::now();
        let answer = function.invoke(event).await;
        latencies.push(asked.elapsed());
        assert_eq!(answer.status(), 200, "{}: {}", subject.name, function.stdout());
    }
    Size { bytes: body(0).len(), p50: median(latencies), peak_memory: function.peak_memory() }
}

/// The processor time that a process has used, of all its threads.
fn cpu_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path());
    let nanos = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
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
