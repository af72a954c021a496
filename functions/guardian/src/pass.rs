//! A pass over an account: list, decide, create, list again, delete.

use crate::{
    Action, Client, Creation, Decision, Deletion, Facts, Finding, Line, Recovery, Report, Target,
};
use models::Timestamp;
use providers::api::{ApiError, Second, Wanted, Webhook};
use std::{collections::BTreeSet, time::Duration};
use storage::{
    Backlog, Guardian, Table,
    guardian::{Gap, Guard, GuardError, KnownWebhook},
};
use tokio::time::sleep;

/// How long a list without our webhook is doubted before one is created.
pub const DOUBT: Duration = Duration::from_secs(5);
/// How often a webhook is created in a day. One that disappears more often needs a person.
pub const MAX_CREATIONS: usize = 4;
/// How long a rotation may take. After that, the account is watched as usual.
pub const MAX_ROTATION: Duration = DAY;
/// How far back the last event is searched, from when the webhook was last alive. Pipedrive removes
/// one after three days without a success.
const MAX_SILENCE: Duration = Duration::from_hours(24 * 4);
const DAY: Duration = Duration::from_hours(24);

/// A pass over an account.
#[derive(Debug)]
pub struct Pass<'a> {
    /// The account.
    pub target: &'a Target,
    /// The client for its API.
    pub client: &'a Client,
    /// The table that has its state.
    pub table: &'a Table,
    /// How long a list without our webhook is doubted: [`DOUBT`].
    pub doubt: Duration,
}

/// Why a repair cannot go on.
enum Stop {
    Api(ApiError),
    Guard(GuardError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<GuardError> for Stop {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

impl Pass<'_> {
    /// Reports what [`repair`](Self::repair) would do. Writes nothing.
    ///
    /// # Errors
    /// [`GuardError`]. A failure of the provider's API is a finding.
    pub async fn look(&self) -> Result<Report, GuardError> {
        let state = self.table.guardian(&self.target.account()).await?;
        let known = state.as_ref().map(known).unwrap_or_default();
        let wanted = self.wanted(state.as_ref());
        let lines = match self.list().await {
            Err(error) => vec![Line::from_error(&error)],
            Ok(listed) => {
                let facts = facts(&listed, &wanted, &known);
                match state {
                    Some(state) if is_rotating(&state, self.table.now()) => vec![rotating(facts)],
                    _ => planned(facts),
                }
            }
        };
        Ok(self.report(lines))
    }

    /// Repairs the webhook, and reads back what is missing.
    ///
    /// # Errors
    /// [`GuardError`]. A failure of the provider's API or of a queue is a finding.
    pub async fn run(
        &self,
        backlog: Option<&Backlog>,
        horizon: Duration,
    ) -> Result<Report, GuardError> {
        let mut report = self.repair().await?;
        if report.lines.iter().any(Line::is_api_failure) {
            return Ok(report);
        }
        let recovery = Recovery {
            target: self.target,
            client: self.client,
            table: self.table,
            backlog,
            horizon,
        };
        report.lines.extend(recovery.run().await?);
        report.usage = self.client.usage();
        Ok(report)
    }

    /// Creates and deletes webhooks, and saves the state of the account.
    ///
    /// # Errors
    /// [`GuardError`]. A failure of the provider's API is a finding.
    pub async fn repair(&self) -> Result<Report, GuardError> {
        let mut guard = self.table.guard(&self.target.account()).await?;
        let mut lines = Vec::new();
        match self.repair_with(&mut guard, &mut lines).await {
            Ok(()) if lines.is_empty() => lines.push(Line::new(Finding::Ok, Action::None, None)),
            Ok(()) => {}
            Err(Stop::Api(error)) => lines.push(Line::from_error(&error)),
            Err(Stop::Guard(error)) => return Err(error),
        }
        let report = self.report(lines);
        note_finding(&mut guard.state, report.open(), self.table.now());
        guard.release().await?;
        Ok(report)
    }

    async fn repair_with(&self, guard: &mut Guard<'_>, lines: &mut Vec<Line>) -> Result<(), Stop> {
        let known = known(&guard.state);
        let wanted = self.wanted(Some(&guard.state));
        let mut listed = self.list_and_note(guard, &known).await?;
        if is_rotating(&guard.state, self.table.now()) {
            lines.push(rotating(facts(&listed, &wanted, &known)));
            return Ok(());
        }
        if facts(&listed, &wanted, &known).ours().next().is_none() {
            sleep(self.doubt).await;
            listed = self.list_and_note(guard, &known).await?;
        }
        if let Decision::Create(creation) = facts(&listed, &wanted, &known).decide() {
            if !self.create(guard, creation, &listed, lines).await? {
                return Ok(());
            }
            listed = self.list_and_note(guard, &known).await?;
        }
        // The account may have refused some codes of events.
        let wanted = self.wanted(Some(&guard.state));
        if let Decision::Create(creation) = facts(&listed, &wanted, &known).decide() {
            self.create_again(guard, creation).await?;
            listed = self.list_and_note(guard, &known).await?;
        }
        match facts(&listed, &wanted, &known).decide() {
            Decision::Create(_) => return Err(ApiError::Malformed(NOT_LISTED).into()),
            Decision::Keep(deletions) => {
                for deletion in deletions {
                    self.delete(guard, deletion, lines).await?;
                }
            }
        }
        Ok(())
    }

    /// Creates the wanted webhook. Returns whether it did.
    async fn create(
        &self,
        guard: &mut Guard<'_>,
        creation: Creation<'_>,
        listed: &[Webhook],
        lines: &mut Vec<Line>,
    ) -> Result<bool, Stop> {
        self.open_gap(&mut guard.state, creation).await?;
        let replaced = creation.replaces.map(|webhook| webhook.id);
        let failed = Line::new(creation.finding, Action::None, replaced);
        let now = self.table.now();
        let created = &mut guard.state.created;
        created.retain(|time| *time > now.before(DAY));
        if created.len() >= MAX_CREATIONS {
            let why =
                format!("it was created {MAX_CREATIONS} times in a day: find out who deletes it");
            lines.push(failed.because(&why));
            return Ok(false);
        }
        created.push(now);
        match self.subscribe(guard, creation).await {
            Ok(webhook) => {
                let id = Some(webhook.id);
                lines.push(Line::new(creation.finding, Action::Created, id));
                Ok(true)
            }
            Err(Stop::Api(error)) => {
                lines.push(failed.because(&error));
                lines.extend(self.cause(&error, listed));
                Ok(false)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Replaces a webhook that is still dead although it was saved again: it delivers nothing, so
    /// nothing is lost if it is deleted first.
    async fn create_again(
        &self,
        guard: &mut Guard<'_>,
        creation: Creation<'_>,
    ) -> Result<(), Stop> {
        let dead = creation.replaces.filter(|webhook| webhook.dead.is_some());
        let Some(dead) = dead.filter(|_| self.target.api.second == Second::Replaces) else {
            return Err(ApiError::Malformed(NOT_LISTED).into());
        };
        self.unsubscribe(guard, dead).await?;
        self.subscribe(guard, creation).await?;
        Ok(())
    }

    /// Creates the wanted webhook with all codes of events that the account accepts.
    async fn subscribe(
        &self,
        guard: &mut Guard<'_>,
        creation: Creation<'_>,
    ) -> Result<Webhook, Stop> {
        let Target { api, access, .. } = self.target;
        let mut wanted = self.wanted(Some(&guard.state));
        // A provider that replaces the webhook with this URL would remove codes that were added.
        let replaced = creation
            .replaces
            .filter(|webhook| webhook.url == wanted.url);
        let topics = replaced.map(|webhook| webhook.topics.clone());
        wanted.topics.extend(topics.unwrap_or_default());
        loop {
            guard.save().await?;
            let error = match self.client.send((api.create)(access, &wanted)).await {
                Ok(webhook) => return Ok(webhook),
                Err(error) => error,
            };
            let refused = (api.refused)(&error, &wanted);
            if refused.is_empty() {
                return Err(error.into());
            }
            wanted = wanted.without(&refused);
            guard.state.refused.extend(refused);
        }
    }

    async fn delete(
        &self,
        guard: &mut Guard<'_>,
        Deletion { finding, webhook }: Deletion<'_>,
        lines: &mut Vec<Line>,
    ) -> Result<(), Stop> {
        let deleted = self.unsubscribe(guard, webhook).await;
        let action = match deleted {
            Ok(()) => Action::Deleted,
            Err(_) => Action::None,
        };
        lines.push(Line::new(finding, action, Some(webhook.id)));
        deleted
    }

    async fn unsubscribe(&self, guard: &mut Guard<'_>, webhook: &Webhook) -> Result<(), Stop> {
        guard.save().await?;
        let Target { api, access, .. } = self.target;
        match self.client.send((api.delete)(access, webhook)).await {
            Ok(()) | Err(ApiError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The cause of a failed creation, if it is more than that the request is refused.
    fn cause(&self, error: &ApiError, listed: &[Webhook]) -> Option<Line> {
        let is_refused = matches!(error, ApiError::Invalid(_));
        let is_full = listed.len() >= self.target.api.limits.webhooks;
        if *error == ApiError::Limit || is_refused && is_full {
            let mut names: Vec<&str> = listed
                .iter()
                .filter_map(|hook| hook.name.as_deref())
                .collect();
            names.sort_unstable();
            names.dedup();
            return Some(Line {
                names: names.into_iter().map(str::to_owned).collect(),
                ..Line::from_error(&ApiError::Limit)
            });
        }
        (!is_refused).then(|| Line::from_error(error))
    }

    async fn list(&self) -> Result<Vec<Webhook>, ApiError> {
        let Target { api, access, .. } = self.target;
        self.client.send((api.list)(access)).await
    }

    async fn list_and_note(
        &self,
        guard: &mut Guard<'_>,
        known: &BTreeSet<u64>,
    ) -> Result<Vec<Webhook>, ApiError> {
        let listed = self.list().await?;
        let wanted = self.wanted(Some(&guard.state));
        let facts = facts(&listed, &wanted, known);
        let now = self.table.now();
        guard.state.listed = Some(now);
        guard.state.webhooks = facts.ours().map(known_webhook).collect();
        if let Some(kept) = facts.kept() {
            guard.state.alive = Some(now);
            // A person registered it before the guardian looked for the first time.
            let created = kept.created.unwrap_or(now);
            guard.state.registered = guard.state.registered.min(created);
        }
        Ok(listed)
    }

    /// Notes the time in which events may have been lost, until now.
    async fn open_gap(
        &self,
        state: &mut Guardian,
        creation: Creation<'_>,
    ) -> Result<(), GuardError> {
        let Some(alive) = state.alive else {
            // The webhook was never there.
            return Ok(());
        };
        let since = alive.before(MAX_SILENCE);
        let last_event = self.table.last_recorded(&state.account, since).await?;
        let last_delivery = creation.replaces.and_then(|webhook| webhook.last_delivery);
        let from = last_event.or(last_delivery).unwrap_or(alive);
        let now = self.table.now();
        match state.gaps.last_mut() {
            Some(gap) if from <= gap.until => gap.until = now,
            _ => state.gaps.push(Gap {
                from,
                until: now,
                reason: creation.finding.word().to_owned(),
            }),
        }
        Ok(())
    }

    /// The wanted webhook, with the codes of events that the account accepts.
    fn wanted(&self, state: Option<&Guardian>) -> Wanted {
        let wanted = self.target.wanted.clone();
        match state {
            Some(state) => wanted.without(&state.refused),
            None => wanted,
        }
    }

    fn report(&self, lines: Vec<Line>) -> Report {
        Report {
            lines,
            usage: self.client.usage(),
        }
    }
}

const NOT_LISTED: &str = "it does not list the webhook that was created";

fn facts<'a>(listed: &'a [Webhook], wanted: &'a Wanted, known: &'a BTreeSet<u64>) -> Facts<'a> {
    Facts {
        listed,
        wanted,
        known,
    }
}

/// Whether the credential of an account is being rotated.
pub(crate) fn is_rotating(state: &Guardian, now: Timestamp) -> bool {
    let rotation = state.rotating.as_ref();
    rotation.is_some_and(|rotation| rotation.since > now.before(MAX_ROTATION))
}

/// The lines of what would be done.
fn planned(facts: Facts<'_>) -> Vec<Line> {
    let lines: Vec<Line> = match facts.decide() {
        Decision::Create(Creation { finding, replaces }) => {
            let id = replaces.map(|webhook| webhook.id);
            vec![Line::new(finding, Action::None, id)]
        }
        Decision::Keep(deletions) => {
            let lines = deletions.iter().map(|Deletion { finding, webhook }| {
                Line::new(*finding, Action::None, Some(webhook.id))
            });
            lines.collect()
        }
    };
    if lines.is_empty() {
        return vec![Line::new(Finding::Ok, Action::None, None)];
    }
    lines
}

/// The line of an account whose credential is being rotated: one webhook of ours is enough.
fn rotating(facts: Facts<'_>) -> Line {
    let is_alive = facts.ours().any(|webhook| webhook.dead.is_none());
    let finding = match facts.decide() {
        Decision::Create(Creation { finding, .. }) if !is_alive => finding,
        _ => Finding::Ok,
    };
    Line::new(finding, Action::None, None).because(&"its credential is being rotated")
}

fn known(state: &Guardian) -> BTreeSet<u64> {
    state.webhooks.iter().map(|webhook| webhook.id).collect()
}

fn known_webhook(webhook: &Webhook) -> KnownWebhook {
    KnownWebhook {
        id: webhook.id,
        user: webhook.user.clone().filter(|user| !user.is_empty()),
        dead: webhook.dead.clone(),
        delivered: webhook.last_delivery,
        status: webhook.last_status,
    }
}

fn note_finding(state: &mut Guardian, open: Option<&Line>, now: Timestamp) {
    let finding = open.map_or(Finding::Ok, |line| line.finding).word();
    if state.finding != finding {
        state.since = open.map(|_| now);
        finding.clone_into(&mut state.finding);
    }
    state.reason = open.and_then(|line| line.reason.clone());
}
