//! The receiver of one provider's webhooks.

use crate::{
    Authenticated, Authenticator, CredentialsError, Request, Verdict,
    log::{self, Details, Line},
    request,
};
use futures_util::FutureExt;
use lambda_http::{
    aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    http::Method,
};
use models::{ParseError, Parsed, Record};
use providers::Provider;
use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use storage::{Client, Settings, SettingsError, Store, budget::now};

/// The name of the stack if the environment has none, as on a developer's machine.
const LOCAL: &str = "local";

/// The receiver of one provider's webhooks: its authenticator, its parser and its store.
#[derive(Debug)]
pub struct Receiver {
    provider: Provider,
    authenticator: Authenticator,
    store: Store,
    /// The name of the stack, a dimension of the metrics.
    stack: String,
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
            stack: LOCAL.to_owned(),
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
        let authenticator = Authenticator::from_env(&provider)?;
        let store = Store::new(&Client::new(), &Settings::from_env()?);
        Ok(Self {
            stack: env::var("HOOKKEEPER_STACK").unwrap_or_else(|_| LOCAL.to_owned()),
            ..Self::new(provider, authenticator, store)
        })
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
        let (verdict, line) = self.receive_unlogged(event).await;
        if !self.is_silent {
            log::write(&line);
        }
        verdict
    }

    /// Handles one request, and returns the verdict and its log line, which is not written.
    pub async fn receive_unlogged(&self, event: ApiGatewayV2httpRequest) -> (Verdict, String) {
        let started = Instant::now();
        let gateway_id = event.request_context.request_id.as_deref();
        let mut details = Details {
            request_id: gateway_id.map(request::shortened),
            ..Details::default()
        };
        let verdict = self.handle(event, &mut details).await;
        let latency = started.elapsed();
        let name = self.provider.name;
        let line = Line::new(&self.stack, name, &verdict, &details, now(), latency).to_string();
        (verdict, line)
    }

    /// The path of a delivery: authenticate, parse, store.
    async fn handle(&self, event: ApiGatewayV2httpRequest, details: &mut Details) -> Verdict {
        if [Method::GET, Method::HEAD].contains(&event.request_context.http.method) {
            return Verdict::UrlCheck;
        }
        let request = Request::from_event(event, self.provider.request_id_header);
        details.bytes = request.body_length();
        details.names_the_provider = self.provider.is_named_by(&request.headers);
        if request.is_url_check() {
            return Verdict::UrlCheck;
        }
        let Some(authenticated) = self.authenticator.authenticate(request) else {
            return Verdict::Unauthorized;
        };
        let delivery = authenticated.delivery();
        details.bytes = delivery.body.len();
        details.credential.clone_from(&delivery.origin.credential);
        if delivery.body.is_empty() {
            return Verdict::Probe;
        }
        let parsed = self.parse(&authenticated);
        if let Some(verdict) = self.try_store(&authenticated, parsed, details).await {
            return verdict;
        }
        let panicked = Err(ParseError::Panicked);
        let quarantined = self.try_store(&authenticated, panicked, details).await;
        quarantined.unwrap_or(Verdict::Unavailable)
    }

    /// Parses a delivery. A parse error does not change the HTTP response: the delivery is
    /// quarantined.
    fn parse(&self, authenticated: &Authenticated) -> Parsed {
        if let Some(error) = authenticated.decode_error() {
            return Err(error.clone());
        }
        let parse = self.provider.parse;
        catch_unwind(AssertUnwindSafe(|| parse(authenticated.delivery())))
            .unwrap_or(Err(ParseError::Panicked))
    }

    /// Calls [`store`](Self::store). Returns `None` if it panics.
    async fn try_store(
        &self,
        authenticated: &Authenticated,
        parsed: Parsed,
        details: &mut Details,
    ) -> Option<Verdict> {
        AssertUnwindSafe(self.store(authenticated, parsed, details))
            .catch_unwind()
            .await
            .ok()
    }

    /// Stores the parsed events of a delivery, or its unchanged body if it could not be parsed.
    async fn store(
        &self,
        authenticated: &Authenticated,
        parsed: Parsed,
        details: &mut Details,
    ) -> Verdict {
        let records = Record::from_delivery(self.provider.name, authenticated.delivery(), parsed);
        let mut reasons = records.iter().filter_map(Record::reason);
        let reason = reasons.next().cloned();
        let more = reasons.count();
        let events = records.iter().filter(|record| record.is_event()).count();
        let outcome = self.store.store(records).await;
        details.queued = outcome.queued;
        details.table_failure = outcome.table_failure;
        details.queue_failure = outcome.queue_failure;
        let duplicates = outcome.duplicates;
        match reason {
            _ if outcome.lost > 0 => Verdict::Unavailable,
            Some(reason) => Verdict::Quarantined {
                reason,
                items: 1 + more,
                events,
                duplicates,
            },
            None if outcome.queued > 0 => Verdict::Queued { events, duplicates },
            None => Verdict::Stored { events, duplicates },
        }
    }
}
