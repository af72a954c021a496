//! Lambda behind API Gateway: environments that start cold, freeze and are removed, and the
//! concurrency limit of an account.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>

use super::{
    aws::{Aws, Connections, Failure, Part},
    naive::Naive,
    world::{minutes, seconds},
};
use ingest::Receiver;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// The functions' `Timeout` in `template.yaml`.
const TIMEOUT: Duration = seconds(15);
/// API Gateway's timeout of an integration.
const GATEWAY_TIMEOUT: Duration = seconds(30);
/// When a crash ends an invocation, in milliseconds.
pub(crate) const CRASH: Range<u64> = 0..50;
/// Round trip between API Gateway and the function, in milliseconds.
const WAY: Range<u64> = 10..30;
/// Additional latency of a cold start, in milliseconds.
const COLD_START: Range<u64> = 150..500;
/// How long an environment stays idle before Lambda removes it.
const REMOVED_AFTER: Duration = minutes(10);
/// After a longer freeze, the connections of one environment in a hundred are dead.
const LONG_FREEZE: Duration = minutes(1);
const DEAD_AFTER_A_FREEZE: u32 = 100;

/// An account with a concurrency limit.
#[derive(Debug)]
pub(crate) struct Account {
    /// Number of environments that may still start.
    room: AtomicUsize,
}

/// A running environment, which counts towards the concurrency limit.
pub(crate) struct Room(Arc<Account>);

impl Account {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            room: AtomicUsize::new(concurrency),
        }
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Option<Room> {
        let order = Ordering::Relaxed;
        let taken = self
            .room
            .fetch_update(order, order, |room| room.checked_sub(1));
        taken.is_ok().then(|| Room(self.clone()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.room.fetch_add(1, Ordering::Relaxed);
    }
}

/// A response from API Gateway.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// When the receiver handled the request. `None` if Lambda or API Gateway responded.
    pub(crate) by_receiver: Option<Range<Duration>>,
}

impl Response {
    fn of_aws(status: u16) -> Self {
        Self {
            status,
            by_receiver: None,
        }
    }
}

/// The receiver in an environment.
pub(crate) enum Handler {
    Hookkeeper(Box<Receiver>),
    Naive(Naive),
}

impl Handler {
    async fn answer(&self, event: ApiGatewayV2httpRequest) -> u16 {
        match self {
            Self::Hookkeeper(receiver) => {
                u16::try_from(receiver.answer(event).await.status_code).unwrap()
            }
            Self::Naive(naive) => naive.answer(event).await,
        }
    }
}

struct Environment {
    handler: Handler,
    connections: Connections,
    frozen: Duration,
}

/// A function: its idle environments, and how another one starts.
pub(crate) struct Function {
    aws: Arc<Aws>,
    account: Arc<Account>,
    start: Box<dyn Fn(&Connections) -> Handler + Send + Sync>,
    idle: Mutex<Vec<Environment>>,
}

impl Function {
    pub(crate) fn new(
        aws: &Arc<Aws>,
        account: &Arc<Account>,
        start: impl Fn(&Connections) -> Handler + Send + Sync + 'static,
    ) -> Self {
        Self {
            aws: aws.clone(),
            account: account.clone(),
            start: Box::new(start),
            idle: Mutex::default(),
        }
    }

    /// The response from API Gateway.
    pub(crate) async fn invoke(&self, event: ApiGatewayV2httpRequest) -> Response {
        let world = &self.aws.world;
        tokio::time::sleep(world.millis(&WAY)).await;
        let failure = self.aws.failure(Part::Function);
        let lives_for = match &failure {
            Some(Failure::Hangs) => {
                tokio::time::sleep(GATEWAY_TIMEOUT).await;
                return Response::of_aws(503);
            }
            Some(Failure::Refuses | Failure::Responds(_)) => return Response::of_aws(503),
            Some(Failure::Slow(latency)) => {
                tokio::time::sleep(world.millis(latency)).await;
                TIMEOUT
            }
            Some(Failure::Crashes | Failure::LosesResponses) => world.millis(&CRASH),
            Some(Failure::Skewed(_)) | None => TIMEOUT,
        };
        let Some(_room) = self.account.enter() else {
            return Response::of_aws(503);
        };
        let mut environment = match self.thaw() {
            Some(environment) => environment,
            None => self.cold_start().await,
        };
        let invoked = world.now();
        let Ok(status) = timeout(lives_for, environment.handler.answer(event)).await else {
            return Response::of_aws(500);
        };
        environment.frozen = world.now();
        let during = invoked..environment.frozen;
        self.idle.lock().unwrap().push(environment);
        Response {
            status,
            by_receiver: Some(during),
        }
    }

    /// The environment that froze last.
    fn thaw(&self) -> Option<Environment> {
        let now = self.aws.world.now();
        let mut idle = self.idle.lock().unwrap();
        idle.retain(|environment| now < environment.frozen + REMOVED_AFTER);
        let environment = idle.pop()?;
        if now > environment.frozen + LONG_FREEZE && self.aws.world.one_in(DEAD_AFTER_A_FREEZE) {
            environment.connections.die();
        }
        Some(environment)
    }

    async fn cold_start(&self) -> Environment {
        let world = &self.aws.world;
        tokio::time::sleep(world.millis(&COLD_START)).await;
        let connections = Connections::new(&self.aws);
        Environment {
            handler: (self.start)(&connections),
            connections,
            frozen: world.now(),
        }
    }
}
