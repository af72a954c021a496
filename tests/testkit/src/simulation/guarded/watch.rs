//! The guardian of an account, every 15 minutes, and its connection to the API.

use super::account::{Account, Crm, failure};
use super::scenarios::{ApiFailure, Scenario};
use crate::sdk::set_date;
use crate::simulation::{
    aws::{Aws, Connections},
    settings,
    world::{minutes, since_1970},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use axum::{body::Bytes, http::Response};
use guardian::{Action, Client, DOUBT, Finding, Pass, Report};
use models::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use storage::{
    Backlog, Table,
    guardian::{Rotation, Step},
};

/// How often the function runs.
const EVERY: Duration = minutes(15);
/// Round trip to the API.
const ROUND_TRIP: Duration = Duration::from_millis(120);

/// What the guardian of the accounts did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Guarding {
    /// Number of events that were read back and stored.
    pub healed: u64,
    /// Number of them that no webhook reports, such as a counter that moved.
    pub needless: usize,
    /// Findings, and what was done about them, with their numbers.
    pub findings: BTreeMap<String, usize>,
    /// Passes that failed, because the table did.
    pub failed: usize,
    /// Most tokens of Pipedrive's daily budget that were used on a day.
    pub tokens_per_day: u64,
    /// Most requests to the API of an account on a day.
    pub calls_per_day: usize,
    /// Most requests to amoCRM within a second.
    pub calls_per_second: usize,
}

/// The guardian of an account.
pub(super) struct Guard<A> {
    pub(super) account: Arc<Account<A>>,
    pub(super) aws: Arc<Aws>,
    pub(super) scenario: Scenario,
    done: Mutex<Guarding>,
    /// Times of the requests.
    requests: Mutex<Vec<Duration>>,
}

struct Connection<A>(Arc<Guard<A>>);

impl<A: Crm> Guard<A> {
    pub(super) fn new(account: &Arc<Account<A>>, aws: &Arc<Aws>, scenario: &Scenario) -> Arc<Self> {
        Arc::new(Self {
            account: account.clone(),
            aws: aws.clone(),
            scenario: scenario.clone(),
            done: Mutex::default(),
            requests: Mutex::default(),
        })
    }

    /// Watches the account until a time.
    pub(super) async fn watch(self: Arc<Self>, until: Duration) {
        let client = Connections::new(&self.aws).background_client();
        let settings = settings();
        let table = Table::new(&client, &settings);
        let queues = settings.fallback_queue.iter().cloned().collect();
        let backlog = Backlog::new(&client, &settings, queues);
        let mut next = Duration::ZERO;
        while next < until {
            self.aws.world.sleep_until(next).await;
            self.pass(&table, &backlog).await;
            while next <= self.aws.world.now() {
                next += EVERY;
            }
        }
    }

    async fn pass(self: &Arc<Self>, table: &Table, backlog: &Backlog) {
        let target = self.account.target();
        let connector = SharedHttpConnector::new(Connection(self.clone()));
        let client = Client::with_transport(target.api.limits, connector);
        let pass = Pass {
            target: &target,
            client: &client,
            table,
            doubt: DOUBT,
        };
        let report = pass.run(Some(backlog), target.api.horizon).await;
        let mut done = self.done.lock().unwrap();
        match report {
            Ok(report) => done.note(&report),
            Err(_) => done.failed += 1,
        }
    }

    /// Marks the account as rotating, or ends that.
    pub(super) async fn set_rotating(&self, is_rotating: bool) {
        let client = Connections::new(&self.aws).background_client();
        let table = Table::new(&client, &settings());
        let account = self.account.target().account();
        let mut guard = table.guard(&account).await.unwrap();
        let now = table.now();
        guard.state.rotating = is_rotating.then(|| Rotation::new(Step::Begun, now));
        guard.release().await.unwrap();
    }

    /// What it did.
    pub(super) fn done(&self) -> Guarding {
        let mut done = self.done.lock().unwrap().clone();
        let requests = self.requests.lock().unwrap();
        let seconds = requests.iter().enumerate().map(|(index, first)| {
            let later = requests[index..].iter();
            let within = later.take_while(|at| **at < *first + Duration::from_secs(1));
            within.count()
        });
        if A::PROVIDER == "amocrm" {
            done.calls_per_second = seconds.max().unwrap_or_default();
        }
        let mut days = BTreeMap::<String, usize>::new();
        for at in requests.iter() {
            let day = Timestamp::from_unix(*at).day();
            *days.entry(day).or_default() += 1;
        }
        done.calls_per_day = days.into_values().max().unwrap_or_default();
        done
    }

    /// The response of the API. `None`: there is none.
    fn respond(&self, request: HttpRequest) -> Option<HttpResponse> {
        let now = self.aws.world.now();
        self.requests.lock().unwrap().push(since_1970(now));
        let failed = |status: u16, body: &str| {
            let response = Response::builder().status(status);
            let response = response.header("content-type", "text/html");
            Some(response.body(body.as_bytes().to_vec()).unwrap())
        };
        let response = match failure(&self.scenario, now) {
            Some(ApiFailure::Hangs) => None,
            Some(ApiFailure::Unavailable) => failed(503, "Service Unavailable"),
            Some(ApiFailure::Html) => failed(200, "<html>We will be back soon</html>"),
            None => {
                let request = request.try_into_http1x().unwrap();
                let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap()));
                let mut api = self.account.api();
                let response = api.respond(&request, since_1970(now));
                let mut done = self.done.lock().unwrap();
                done.tokens_per_day = done.tokens_per_day.max(api.spent());
                Some(response)
            }
        };
        let mut response: HttpResponse = response?.map(SdkBody::from).try_into().unwrap();
        set_date(&mut response, Timestamp::from_unix(since_1970(now)));
        Some(response)
    }
}

impl Guarding {
    fn note(&mut self, report: &Report) {
        for line in &report.lines {
            self.healed += line.healed;
            if line.finding == Finding::Ok {
                continue;
            }
            let finding = line.finding.word();
            let name = match line.action {
                Action::None => finding.to_owned(),
                action => format!("{finding}, {action:?}").to_lowercase(),
            };
            *self.findings.entry(name).or_default() += 1;
        }
    }

    /// Both guardians together.
    pub(super) fn with(mut self, other: Self) -> Self {
        for (finding, count) in other.findings {
            *self.findings.entry(finding).or_default() += count;
        }
        Self {
            healed: self.healed + other.healed,
            needless: self.needless + other.needless,
            findings: self.findings,
            failed: self.failed + other.failed,
            tokens_per_day: self.tokens_per_day.max(other.tokens_per_day),
            calls_per_day: self.calls_per_day.max(other.calls_per_day),
            calls_per_second: self.calls_per_second.max(other.calls_per_second),
        }
    }
}

impl<A: Crm> HttpConnector for Connection<A> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let guard = self.0.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(ROUND_TRIP).await;
            match guard.respond(request) {
                Some(response) => Ok(response),
                None => pending().await,
            }
        })
    }
}

impl<A> fmt::Debug for Connection<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
