//! Lambda behind API Gateway: environments that start cold, freeze and are removed, and the
//! concurrency limit of an account.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>

use super::{
    aws::{Aws, Connections},
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

    /// The status of the response from API Gateway.
    pub(crate) async fn invoke(&self, event: ApiGatewayV2httpRequest) -> u16 {
        let world = &self.aws.world;
        tokio::time::sleep(world.millis(&WAY)).await;
        let Some(_room) = self.account.enter() else {
            return 503;
        };
        let mut environment = match self.thaw() {
            Some(environment) => environment,
            None => self.cold_start().await,
        };
        let Ok(status) = timeout(TIMEOUT, environment.handler.answer(event)).await else {
            return 500;
        };
        environment.frozen = world.now();
        self.idle.lock().unwrap().push(environment);
        status
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
