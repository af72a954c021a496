//! An account with the simulated API of its provider, in virtual time.

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use axum::{body::Bytes, http::Response};
use guardian::{
    Action, Client, DOUBT, Finding, Pass, Report,
    secrets::{Secret, Target},
};
use models::Timestamp;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use storage::{Guardian, Table, guardian::GuardError};
use testkit::{
    api::{AmocrmApi, Api, PipedriveApi},
    world::{Process, World, item, set_date},
};
use tokio::time::Instant;

/// The URL of our webhook, without its key.
pub(crate) const URL: &str = "https://hooks.example.com/hook";
/// The user name of our webhook.
pub(crate) const USER: &str = "hookkeeper";

type Inspect<A> = dyn FnMut(&A, &str) + Send;

/// An account, its state and the API of its provider.
pub(crate) struct Scene<A> {
    /// The table and its clock.
    pub(crate) world: Arc<World>,
    /// The account.
    pub(crate) target: Target,
    api: Fake<A>,
}

/// A provider's API in this process.
struct Fake<A>(Arc<Shared<A>>);

struct Shared<A> {
    api: Mutex<A>,
    inspect: Mutex<Box<Inspect<A>>>,
    /// When it began, and the time since 1970 at that moment.
    start: (Instant, Duration),
    /// The requests so far: `GET /v1/webhooks`.
    requests: Mutex<Vec<String>>,
    /// Responses instead of the API's, by the number of the request.
    responses: Mutex<BTreeMap<usize, (u16, &'static str)>>,
}

impl Scene<PipedriveApi> {
    /// A company of Pipedrive without webhooks.
    pub(crate) fn pipedrive() -> Self {
        Self::pipedrive_in(&World::new(), "7")
    }

    /// An account with this id in a table.
    pub(crate) fn pipedrive_in(world: &Arc<World>, id: &str) -> Self {
        let secret = Secret {
            api_token: "token".to_owned(),
            api_url: Some("http://127.0.0.1:1".to_owned()),
            webhook_url: URL.to_owned(),
            user: Some(USER.to_owned()),
            password: Some("password".to_owned()),
        };
        Self::new(world, ("pipedrive", id), secret, PipedriveApi::new("token"))
    }
}

impl Scene<AmocrmApi> {
    /// An account of amoCRM without webhooks.
    pub(crate) fn amocrm() -> Self {
        Self::amocrm_in(&World::new(), "7")
    }

    /// An account with this id in a table.
    pub(crate) fn amocrm_in(world: &Arc<World>, id: &str) -> Self {
        let secret = Secret {
            api_token: "token".to_owned(),
            api_url: Some("http://127.0.0.1:1".to_owned()),
            webhook_url: format!("{URL}?key=new"),
            user: None,
            password: None,
        };
        Self::new(world, ("amocrm", id), secret, AmocrmApi::new("token"))
    }
}

impl<A: Api> Scene<A> {
    fn new(world: &Arc<World>, (provider, id): (&str, &str), secret: Secret, api: A) -> Self {
        let provider = testkit::provider(provider);
        let target = Target::new(provider, provider.api.unwrap(), id, secret);
        let shared = Shared {
            api: Mutex::new(api),
            inspect: Mutex::new(Box::new(|_, _| ())),
            start: (Instant::now(), since_1970(world.now())),
            requests: Mutex::default(),
            responses: Mutex::default(),
        };
        Self {
            world: Arc::clone(world),
            target: target.unwrap(),
            api: Fake(Arc::new(shared)),
        }
    }

    /// The API.
    pub(crate) fn api(&self) -> MutexGuard<'_, A> {
        self.api.0.api.lock().unwrap()
    }

    /// The time, as the API knows it.
    pub(crate) fn now(&self) -> Duration {
        self.api.0.now()
    }

    /// Lets a check see the API before each request.
    pub(crate) fn inspect(&self, check: impl FnMut(&A, &str) + Send + 'static) {
        *self.api.0.inspect.lock().unwrap() = Box::new(check);
    }

    /// Lets time pass.
    pub(crate) async fn wait(&self, time: Duration) {
        self.world.wait(time);
        tokio::time::advance(time).await;
    }

    /// Stores an event of Pipedrive's account. Returns its time.
    pub(crate) fn deliver(&self) -> Timestamp {
        let now = self.world.now();
        self.world
            .put_after(Duration::ZERO, Duration::ZERO, item(1, now));
        now
    }

    /// Lets a later request have this response: 0 is the next one.
    pub(crate) fn respond_with(&self, number: usize, status: u16, body: &'static str) {
        let number = self.api.0.requests.lock().unwrap().len() + number;
        let mut responses = self.api.0.responses.lock().unwrap();
        responses.insert(number, (status, body));
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut responses = self.api.0.responses.lock().unwrap();
        responses.clear();
        std::mem::take(&mut *self.api.0.requests.lock().unwrap())
    }

    /// A table of a new process.
    pub(crate) fn table(&self) -> Table {
        Process::new(&self.world).table()
    }

    /// The client of a new process.
    pub(crate) fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(Fake(Arc::clone(&self.api.0)));
        Client::with_transport(self.target.api.limits, connector)
    }

    /// Watches the account once.
    pub(crate) async fn repair(&self) -> Report {
        self.try_repair(&self.table()).await.unwrap()
    }

    /// Watches the account once, from a process.
    pub(crate) async fn try_repair(&self, table: &Table) -> Result<Report, GuardError> {
        let client = self.client();
        self.pass(table, &client).repair().await
    }

    /// Watches the account once, and reads back what is missing.
    pub(crate) async fn run(&self) -> Report {
        let (table, client) = (self.table(), self.client());
        let pass = self.pass(&table, &client);
        pass.run(None, self.target.api.horizon).await.unwrap()
    }

    /// Says what would be done.
    pub(crate) async fn look(&self) -> Report {
        let (table, client) = (self.table(), self.client());
        self.pass(&table, &client).look().await.unwrap()
    }

    fn pass<'a>(&'a self, table: &'a Table, client: &'a Client) -> Pass<'a> {
        Pass {
            target: &self.target,
            client,
            table,
            doubt: DOUBT,
        }
    }

    /// The state of the account.
    pub(crate) async fn state(&self) -> Guardian {
        let state = self.table().guardian(&self.target.account()).await;
        state.unwrap().unwrap()
    }
}

fn since_1970(time: Timestamp) -> Duration {
    Duration::from_micros(time.as_micros().try_into().unwrap())
}

/// The findings and actions of a report.
pub(crate) fn done(report: &Report) -> Vec<(Finding, Action)> {
    let lines = report.lines.iter();
    lines.map(|line| (line.finding, line.action)).collect()
}

impl<A> Shared<A> {
    fn now(&self) -> Duration {
        let (start, since_1970) = self.start;
        since_1970 + start.elapsed()
    }
}

impl<A: Api> Fake<A> {
    fn answer(&self, request: HttpRequest) -> HttpResponse {
        let request = request.try_into_http1x().unwrap();
        let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap()));
        let mut requests = self.0.requests.lock().unwrap();
        let response = self.0.responses.lock().unwrap().remove(&requests.len());
        let line = format!("{} {}", request.method(), request.uri().path());
        (self.0.inspect.lock().unwrap())(&self.0.api.lock().unwrap(), &line);
        requests.push(line);
        let response = match response {
            Some((status, body)) => Response::builder().status(status).body(body.into()),
            None => Ok(self.0.api.lock().unwrap().respond(&request, self.0.now())),
        };
        let response = response.unwrap().map(SdkBody::from);
        let mut response: HttpResponse = response.try_into().unwrap();
        set_date(&mut response, Timestamp::from_unix(self.0.now()));
        response
    }
}

impl<A: Api> HttpConnector for Fake<A> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.answer(request)))
    }
}

impl<A> fmt::Debug for Fake<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}
