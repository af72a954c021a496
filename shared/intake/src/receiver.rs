//! The receiver of one provider.

use crate::{
    Admitted, Gate, GateError, Provider, Verdict,
    answer::{Facts, Line},
    door::{self, now},
};
use futures_util::{FutureExt, StreamExt, stream};
use lambda_http::{
    aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    http::Method,
};
use models::{Event, Record, Unreadable};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use store::{Kept, Settings, SettingsError, Table};

/// How many events of one delivery are put at the same time, each over a connection of its own.
const CONCURRENT_PUTS: usize = 16;

/// The receiver of one provider: its gate, its reader, and the table behind them.
#[derive(Debug)]
pub struct Receiver {
    provider: Provider,
    gate: Gate,
    table: Table,
}

/// Why a receiver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody could come in, or not as the settings say.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// It is not said where to keep records.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Receiver {
    /// A receiver with its settings.
    #[must_use]
    pub fn new(provider: Provider, gate: Gate, table: Table) -> Self {
        Self { provider, gate, table }
    }

    /// A receiver with the settings of the process's environment.
    ///
    /// # Errors
    /// As [`GateError`] and [`SettingsError`] list.
    pub fn from_env(provider: Provider) -> Result<Self, StartError> {
        Ok(Self::new(provider, Gate::from_env(&provider)?, Table::new(Settings::from_env()?)))
    }

    /// Answers one request. The one door: whatever comes in comes in here.
    pub async fn answer(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        self.receive(event).await.response()
    }

    /// What [`answer`](Self::answer) answers with. Logs one line of it.
    pub async fn receive(&self, event: ApiGatewayV2httpRequest) -> Verdict {
        let (started, mut facts) = (Instant::now(), Facts::default());
        facts.request_id.clone_from(&event.request_context.request_id);
        let verdict = self.judge(event, &mut facts).await;
        Line::new(self.provider.name, &verdict, &facts, now(), started.elapsed()).write();
        verdict
    }

    async fn judge(&self, event: ApiGatewayV2httpRequest, facts: &mut Facts) -> Verdict {
        if [Method::GET, Method::HEAD].contains(&event.request_context.http.method) {
            return Verdict::Hello;
        }
        let request = door::open(event, self.provider.request_id_header);
        facts.bytes = request.delivery.body.len();
        let Some(admitted) = self.gate.admit(&request.headers, &request.query, request.delivery) else {
            return Verdict::Stranger;
        };
        facts.credential = Some(admitted.label().to_owned());
        if admitted.delivery().body.is_empty() {
            return Verdict::Probe;
        }
        let read = request.garbled.map_or_else(|| self.read(&admitted), Err);
        let kept = AssertUnwindSafe(self.keep(&admitted, read)).catch_unwind().await;
        match kept {
            Ok(verdict) => verdict,
            Err(_) => self.keep(&admitted, Err(Unreadable::Panicked)).await,
        }
    }

    /// Reads a delivery. Never decides the answer: what cannot be read is kept as it is.
    fn read(&self, admitted: &Admitted) -> Result<Vec<Event>, Unreadable> {
        let (read, delivery) = (self.provider.read, admitted.delivery());
        catch_unwind(AssertUnwindSafe(|| read(delivery))).unwrap_or(Err(Unreadable::Panicked))
    }

    /// Keeps what was read of a delivery, or all of it as it is.
    async fn keep(&self, admitted: &Admitted, read: Result<Vec<Event>, Unreadable>) -> Verdict {
        let records = Record::of(self.provider.name, admitted.delivery(), read);
        let quarantined = records.iter().find_map(|record| match record {
            Record::Quarantined { reason, .. } => Some(reason.clone()),
            Record::Event { .. } | Record::Body { .. } => None,
        });
        let events = records.iter().filter(|record| matches!(record, Record::Event { .. })).count();
        let mut puts = stream::iter(records).map(|record| self.put(record)).buffer_unordered(CONCURRENT_PUTS);
        let mut duplicates = 0;
        while let Some(put) = puts.next().await {
            match put {
                Ok(Some(Kept::Duplicate)) => duplicates += 1,
                Ok(Some(Kept::New) | None) => {}
                Err(failure) => return Verdict::Unavailable { failure },
            }
        }
        quarantined.map_or(Verdict::Kept { events, duplicates }, Verdict::Quarantined)
    }

    /// Puts one record into the table, and says of an event whether it is new.
    async fn put(&self, record: Record) -> Result<Option<Kept>, &'static str> {
        let is_event = matches!(record, Record::Event { .. });
        let kept = self.table.keep(record, now()).await.map_err(|error| error.kind())?;
        Ok(is_event.then_some(kept))
    }
}
