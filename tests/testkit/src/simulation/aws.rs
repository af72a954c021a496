//! Simulated AWS endpoint of the SDK: it takes requests in AWS JSON and responds late, with an
//! error or never, according to the faults.

use super::{
    dynamodb::Table,
    world::{World, since_1970},
};
use crate::{
    sdk::{Service, ServiceRequest, refused, response, set_date, transport},
    sqs::Queue,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use models::Timestamp;
use serde_json::Value;
use std::{
    future::pending,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::Client;

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Table,
    Queue,
    /// Lambda, and API Gateway before it.
    Function,
    /// The network between a provider and API Gateway.
    Network,
    /// The clock of API Gateway, which stamps each request.
    GatewayClock,
    /// The clock of DynamoDB. Each of its responses contains the time.
    TableClock,
    /// The clock of the queue, which stamps each message.
    QueueClock,
    /// The clock of the receivers, the drain and the guardian.
    ProcessClock,
}

/// How a part fails.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// There is no response.
    Hangs,
    /// The connection is refused. Lambda and API Gateway respond with 503.
    Refuses,
    /// It executes the request within this number of milliseconds, even if the caller gives up.
    Slow(Range<u64>),
    /// It responds with an error code, and executes nothing.
    Responds(&'static str),
    /// It executes the request, and the response is lost.
    LosesResponses,
    /// The execution environment ends during the request.
    Crashes,
    /// A clock is ahead by this number of milliseconds, or behind if it is negative.
    Skewed(i64),
}

/// When a part fails, and how.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) during: Range<Duration>,
    pub(crate) failure: Failure,
    /// One request in this number fails.
    pub(crate) one_in: u32,
}

/// Latency of a service without a fault, in milliseconds. One call in a thousand has [`TAIL`].
const LATENCY: Range<u64> = 3..12;
const TAIL: Range<u64> = 30..120;

#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) world: Arc<World>,
    pub(crate) table: Table,
    pub(crate) queue: Queue,
    pub(crate) faults: Vec<Fault>,
}

impl Aws {
    /// How a request to a part fails now, if it does.
    pub(crate) fn failure(&self, part: Part) -> Option<Failure> {
        let now = self.world.now();
        let mut faults = self.faults.iter();
        let fault = faults.find(|fault| fault.part == part && fault.during.contains(&now))?;
        let fails = fault.one_in == 1 || self.world.one_in(fault.one_in);
        fails.then(|| fault.failure.clone())
    }

    /// Whether a part may fail at a time in a range.
    pub(crate) fn may_fail(&self, part: Part, during: &Range<Duration>) -> bool {
        self.faults_of(part, during).next().is_some()
    }

    /// The faults of a part at a time in a range.
    fn faults_of(&self, part: Part, during: &Range<Duration>) -> impl Iterator<Item = &Fault> {
        let of_part = self.faults.iter().filter(move |fault| fault.part == part);
        of_part.filter(|Fault { during: fails, .. }| {
            fails.start <= during.end && during.start <= fails.end
        })
    }

    /// The time that a clock shows.
    pub(crate) fn clock(&self, clock: Part) -> Timestamp {
        let now = Timestamp::from_unix(since_1970(self.world.now()));
        let Some(Failure::Skewed(millis)) = self.failure(clock) else {
            return now;
        };
        let skew = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 {
            now.before(skew)
        } else {
            now.after(skew)
        }
    }

    /// How much a clock may be behind at a time in a range.
    pub(crate) fn behind(&self, clock: Part, during: &Range<Duration>) -> Duration {
        self.skew(clock, during, |millis| millis < 0)
    }

    /// How much a clock may be ahead at a time in a range.
    pub(crate) fn ahead(&self, clock: Part, during: &Range<Duration>) -> Duration {
        self.skew(clock, during, |millis| millis > 0)
    }

    fn skew(
        &self,
        clock: Part,
        during: &Range<Duration>,
        is_meant: impl Fn(i64) -> bool,
    ) -> Duration {
        let faults = self.faults_of(clock, during);
        let skews = faults.filter_map(|fault| match fault.failure {
            Failure::Skewed(millis) if is_meant(millis) => Some(millis.unsigned_abs()),
            _ => None,
        });
        Duration::from_millis(skews.max().unwrap_or_default())
    }

    async fn call(
        self: Arc<Self>,
        request: ServiceRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let part = match request.service {
            Service::Table => Part::Table,
            Service::Queue => Part::Queue,
        };
        let failure = self.failure(part);
        let latency = match &failure {
            Some(Failure::Hangs) => pending().await,
            Some(Failure::Refuses | Failure::Crashes) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(refused());
            }
            Some(Failure::Responds(code)) => return Ok(self.response(Err(code))),
            Some(Failure::Slow(latency)) => latency.clone(),
            _ if self.world.one_in(1_000) => TAIL,
            Some(Failure::LosesResponses | Failure::Skewed(_)) | None => LATENCY,
        };
        let way = self.world.millis(&latency) / 2;
        // In its own task, because a service continues when the caller gives up.
        let served = tokio::spawn(async move {
            tokio::time::sleep(way).await;
            let response = self.response(self.execute(&request));
            tokio::time::sleep(way).await;
            response
        });
        let response = served.await.unwrap();
        if let Some(Failure::LosesResponses) = failure {
            pending::<()>().await;
        }
        Ok(response)
    }

    /// A response with the time, which the drain and the guardian take from it.
    fn response(&self, result: Result<Value, &str>) -> HttpResponse {
        let mut response = response(result);
        set_date(&mut response, self.clock(Part::TableClock));
        response
    }

    fn execute(&self, request: &ServiceRequest) -> Result<Value, &'static str> {
        let ServiceRequest {
            operation, body, ..
        } = request;
        match request.service {
            Service::Table => self.table.call(operation, body, self.world.now()),
            Service::Queue => {
                let sent = self
                    .queue
                    .call(operation, body, self.clock(Part::QueueClock))?;
                let refused = sent["Failed"].as_array().into_iter().flatten();
                assert_eq!(refused.count(), 0, "SQS refuses a message");
                Ok(sent)
            }
        }
    }
}

/// The connections of one execution environment.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    aws: Arc<Aws>,
    /// Services whose pooled connection died while the environment was frozen.
    dead: Arc<Mutex<Vec<Service>>>,
}

impl Connections {
    pub(crate) fn new(aws: &Arc<Aws>) -> Self {
        Self {
            aws: aws.clone(),
            dead: Arc::default(),
        }
    }

    /// Lets the pooled connections die: the next request over each of them gets no response.
    pub(crate) fn die(&self) {
        *self.dead.lock().unwrap() = vec![Service::Table, Service::Queue];
    }

    pub(crate) fn transport(&self) -> SharedHttpClient {
        transport(self.clone())
    }

    /// The SDK's clients of a receiver.
    pub(crate) fn client(&self) -> Client {
        let clock = ProcessClock(self.aws.clone());
        Client::with_transport(self.transport()).with_time_source(clock)
    }

    /// The SDK's clients of the drain and the guardian.
    pub(crate) fn background_client(&self) -> Client {
        let clock = ProcessClock(self.aws.clone());
        Client::background_with_transport(self.transport()).with_time_source(clock)
    }

    fn is_dead(&self, service: Service) -> bool {
        let mut dead = self.dead.lock().unwrap();
        let before = dead.len();
        dead.retain(|dead| *dead != service);
        dead.len() < before
    }
}

/// The clock of a process.
#[derive(Debug)]
struct ProcessClock(Arc<Aws>);

impl TimeSource for ProcessClock {
    fn now(&self) -> SystemTime {
        let micros = self.0.clock(Part::ProcessClock).as_micros();
        UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs())
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = ServiceRequest::from(&request);
        if self.is_dead(request.service) {
            return HttpConnectorFuture::new(pending());
        }
        HttpConnectorFuture::new(self.aws.clone().call(request))
    }
}
