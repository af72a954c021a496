//! The receiver of one provider's webhooks.

use crate::{
    Authenticated, Authenticator, CredentialsError, Verdict,
    log::{Facts, Line},
    request::{self, Decoded},
};
use futures_util::FutureExt;
use lambda_http::{
    aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    http::Method,
};
use models::{Event, ParseError, Record};
use providers::Provider;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use storage::{Client, Outcome, Settings, SettingsError, Store, budget::now};

/// The receiver of one provider's webhooks: its authenticator, its parser and its store.
#[derive(Debug)]
pub struct Receiver {
    provider: Provider,
    authenticator: Authenticator,
    store: Store,
    is_silent: bool,
}

/// An error that prevents a receiver from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The credentials are missing or invalid.
    #[error(transparent)]
    Authenticator(#[from] CredentialsError),
    /// The settings of the store are missing or invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Receiver {
    /// Creates a receiver.
    #[must_use]
    pub fn new(provider: Provider, authenticator: Authenticator, store: Store) -> Self {
        Self {
            provider,
            authenticator,
            store,
            is_silent: false,
        }
    }

    /// Returns the same receiver without logging, for processes that handle thousands of requests
    /// of their own.
    #[must_use]
    pub fn silent(self) -> Self {
        Self {
            is_silent: true,
            ..self
        }
    }

    /// Creates a receiver with the settings of the process environment.
    ///
    /// # Errors
    /// See [`CredentialsError`] and [`SettingsError`].
    pub fn from_env(provider: Provider) -> Result<Self, StartError> {
        Ok(Self::new(
            provider,
            Authenticator::from_env(&provider)?,
            Store::new(&Client::new(), &Settings::from_env()?),
        ))
    }

    /// Does work in advance that the first delivery would otherwise wait for. A failure must not
    /// stop the receiver.
    pub async fn warm_up(&self) {
        AssertUnwindSafe(self.store.table().warm_up())
            .catch_unwind()
            .await
            .ok();
    }

    /// Handles one request and returns the HTTP response. This is the only entry point for
    /// requests.
    pub async fn answer(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        self.receive(event).await.response()
    }

    /// Handles one request, logs one line, and returns the verdict. [`answer`](Self::answer) makes
    /// the HTTP response from it.
    pub async fn receive(&self, event: ApiGatewayV2httpRequest) -> Verdict {
        let (started, mut facts) = (Instant::now(), Facts::default());
        facts.request_id = event
            .request_context
            .request_id
            .as_deref()
            .map(request::shortened);
        let verdict = self.judge(event, &mut facts).await;
        if !self.is_silent {
            Line::new(
                self.provider.name,
                &verdict,
                &facts,
                now(),
                started.elapsed(),
            )
            .write();
        }
        verdict
    }

    async fn judge(&self, event: ApiGatewayV2httpRequest, facts: &mut Facts) -> Verdict {
        if [Method::GET, Method::HEAD].contains(&event.request_context.http.method) {
            return Verdict::UrlCheck;
        }
        let request = request::open(event, self.provider.request_id_header);
        facts.bytes = request.body_length();
        facts.claims_to_be_the_provider = self.provider.is_named_by(&request.headers);
        let Some(pass) = self.authenticator.check(&request.headers, &request.query) else {
            return Verdict::Unauthorized;
        };
        let Decoded { delivery, garbled } = request.decode(&pass);
        let authenticated = pass.authenticate(delivery);
        facts.bytes = authenticated.delivery().body.len();
        facts.credential = Some(authenticated.label().to_owned());
        if authenticated.delivery().body.is_empty() {
            return Verdict::Probe;
        }
        let read = garbled.map_or_else(|| self.read(&authenticated), Err);
        if let Some(verdict) = self.try_keep(&authenticated, read, facts).await {
            return verdict;
        }
        let quarantined = self
            .try_keep(&authenticated, Err(ParseError::Panicked), facts)
            .await;
        quarantined.unwrap_or(Verdict::Unavailable)
    }

    /// Parses a delivery. A parse error does not change the HTTP response: the delivery is
    /// quarantined.
    fn read(&self, authenticated: &Authenticated) -> Result<Vec<Event>, ParseError> {
        let (read, delivery) = (self.provider.read, authenticated.delivery());
        catch_unwind(AssertUnwindSafe(|| read(delivery))).unwrap_or(Err(ParseError::Panicked))
    }

    /// Calls [`keep`](Self::keep). Returns `None` if it panics.
    async fn try_keep(
        &self,
        authenticated: &Authenticated,
        read: Result<Vec<Event>, ParseError>,
        facts: &mut Facts,
    ) -> Option<Verdict> {
        AssertUnwindSafe(self.keep(authenticated, read, facts))
            .catch_unwind()
            .await
            .ok()
    }

    /// Stores the parsed events of a delivery, or its unchanged body if it could not be parsed.
    async fn keep(
        &self,
        authenticated: &Authenticated,
        read: Result<Vec<Event>, ParseError>,
        facts: &mut Facts,
    ) -> Verdict {
        let records = Record::of(self.provider.name, authenticated.delivery(), read);
        let quarantined = records.iter().find_map(Record::unreadable).cloned();
        let events = records
            .iter()
            .filter(|record| matches!(record, Record::Event { .. }))
            .count();
        let Outcome {
            duplicates,
            queued,
            lost,
            table_failure,
            queue_failure,
        } = self.store.keep(records).await;
        facts.queued = queued;
        facts.table_failure = table_failure;
        facts.queue_failure = queue_failure;
        match quarantined {
            _ if lost > 0 => Verdict::Unavailable,
            Some(reason) => Verdict::Quarantined(reason),
            None if queued > 0 => Verdict::Queued { events, duplicates },
            None => Verdict::Stored { events, duplicates },
        }
    }
}
