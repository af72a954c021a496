//! An account of a provider: its people, its API, and the deliveries of its webhooks.

use super::{
    happened::Happened,
    scenarios::{ApiFailure, Deed, Scenario},
};
use crate::{
    api::{Api, Notice, WebhookTarget},
    provider,
    simulation::{
        crm::{Internet, Post},
        world::since_1970,
    },
};
use fastrand::Rng;
use guardian::{Target, secrets::Secret};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The API of a provider whose people act at random.
pub(super) trait Crm: Api {
    /// Name of the provider.
    const PROVIDER: &'static str;
    /// How long it waits for a response to a delivery.
    const TIMEOUT: Duration;
    /// Waits before the attempts of a delivery.
    const WAITS: &'static [Duration];

    /// Creates the account, whose objects are older than its webhook.
    fn populated(random: &mut Rng, now: Duration) -> Self;

    /// The id of the account, as in the source of its events.
    fn id(&self) -> u64;

    /// The secret of the guardian, with this password and this token.
    fn secret(password: &str, token: &str) -> Secret;

    /// Lets a person do something. Returns what happened, and the deliveries that report it.
    fn act(&mut self, random: &mut Rng, now: Duration) -> Vec<(Happened, Option<Notice>)>;

    /// Adds the webhook that is wanted, as a person does.
    fn register(&mut self, target: &Target, now: Duration);

    /// Deletes the webhooks that have a password, as a person does.
    fn delete_webhooks(&mut self, password: &str);

    /// Accepts only this token from now on.
    fn set_token(&mut self, token: &str);

    /// Whether there is a further attempt, after this number of them and the last status.
    fn is_repeated(attempts: usize, status: Option<u16>) -> bool;

    /// The body of an attempt.
    fn body(notice: &Notice, target: &WebhookTarget, attempt: usize) -> String;

    /// Records an attempt.
    fn record_attempt(&mut self, webhook: u64, attempt: usize, status: Option<u16>, now: Duration);

    /// Tokens that were spent on the day of the last request.
    fn spent(&self) -> u64;

    /// The number of bans, disablings and removals so far.
    fn punishments(&self) -> usize;
}

/// An account.
pub(super) struct Account<A> {
    api: Mutex<A>,
    target: Mutex<Target>,
    happened: Mutex<Vec<Happened>>,
    /// The kinds of events that the webhook's user has no right to see.
    unseen: Mutex<&'static [&'static str]>,
}

/// The words of the credentials, and of the tokens.
pub(super) const OLD: &str = "old";
/// See [`OLD`].
pub(super) const NEW: &str = "new";

impl<A: Crm> Account<A> {
    /// An account with a webhook.
    pub(super) fn new(random: &mut Rng) -> Self {
        let now = since_1970(Duration::ZERO);
        let mut api = A::populated(random, now);
        let target = target_of::<A>(&api.id().to_string(), OLD, OLD);
        api.register(&target, now);
        Self {
            api: Mutex::new(api),
            target: Mutex::new(target),
            happened: Mutex::default(),
            unseen: Mutex::default(),
        }
    }

    pub(super) fn api(&self) -> MutexGuard<'_, A> {
        self.api.lock().unwrap()
    }

    /// The account, as the guardian knows it.
    pub(super) fn target(&self) -> Target {
        self.target.lock().unwrap().clone()
    }

    /// What happened so far.
    pub(super) fn happened(&self) -> Vec<Happened> {
        self.happened.lock().unwrap().clone()
    }

    /// Lets people act, and sends what the webhooks report.
    pub(super) async fn work(
        self: Arc<Self>,
        internet: Arc<Internet>,
        scenario: Scenario,
        mut random: Rng,
    ) {
        for at in scenario.times(&mut random) {
            internet.aws.world.sleep_until(at).await;
            for (notice, target) in self.act(&mut random, since_1970(at)) {
                let delivery = self.clone().deliver(internet.clone(), notice, target);
                tokio::spawn(delivery);
            }
        }
    }

    fn act(&self, random: &mut Rng, now: Duration) -> Vec<(Notice, WebhookTarget)> {
        let mut api = self.api();
        let unseen = *self.unseen.lock().unwrap();
        let mut deliveries = Vec::new();
        for (happened, notice) in api.act(random, now) {
            self.happened.lock().unwrap().push(happened);
            let notice =
                notice.filter(|notice| !unseen.iter().any(|unseen| notice.kind.ends_with(unseen)));
            if let Some(notice) = notice {
                let targets = api.targets(&notice.kind, now).into_iter();
                deliveries.extend(targets.map(|target| (notice.clone(), target)));
            }
        }
        deliveries
    }

    /// Sends a delivery until it succeeds, or until the provider gives it up.
    async fn deliver(self: Arc<Self>, internet: Arc<Internet>, notice: Notice, to: WebhookTarget) {
        let mut status = None;
        let world = &internet.aws.world;
        for (attempts, wait) in A::WAITS.iter().enumerate() {
            if attempts > 0 && !A::is_repeated(attempts, status) {
                return;
            }
            tokio::time::sleep(*wait).await;
            // It may be banned, disabled or deleted.
            let targets = self.api().targets(&notice.kind, since_1970(world.now()));
            if !targets.contains(&to) {
                return;
            }
            let post = Post {
                provider: A::PROVIDER,
                url: &to.url,
                authorization: to.authorization.clone(),
                content_type: notice.content_type,
                body: A::body(&notice, &to, attempts + 1),
            };
            status = internet.send(post, A::TIMEOUT).await;
            let now = since_1970(world.now());
            self.api()
                .record_attempt(to.webhook, attempts + 1, status, now);
            if status.is_some_and(|status| (200..300).contains(&status)) {
                return;
            }
        }
    }

    /// Does something to the webhook or the token.
    pub(super) fn suffer(&self, deed: Deed, now: Duration) {
        let mut api = self.api();
        let mut target = self.target.lock().unwrap();
        match deed {
            Deed::DeletesWebhook | Deed::EndsRotation => api.delete_webhooks(OLD),
            Deed::LosesRights(kinds) => *self.unseen.lock().unwrap() = kinds,
            Deed::RevokesToken => api.set_token(NEW),
            Deed::StoresToken => *target = target_of::<A>(&target.id, OLD, NEW),
            Deed::BeginsRotation => {
                *target = target_of::<A>(&target.id, NEW, OLD);
                api.register(&target, now);
            }
        }
    }
}

fn target_of<A: Crm>(id: &str, password: &str, token: &str) -> Target {
    let provider = provider(A::PROVIDER);
    let secret = A::secret(password, token);
    Target::new(provider, provider.api.unwrap(), id, secret).unwrap()
}

/// A failure of the API now, if there is one.
pub(super) fn failure(scenario: &Scenario, now: Duration) -> Option<ApiFailure> {
    let mut failures = scenario.api_failures.iter();
    let found = failures.find(|(during, _)| during.contains(&now));
    found.map(|(_, failure)| *failure)
}
