//! Recovery: looks for what no webhook reported, and reads it back.
//!
//! - A *gap* that was opened when the webhook was created again is read back as soon as the retry
//!   horizon is over.
//! - *The canary question*: an account that has been silent for an hour is asked for its last
//!   changes, at most once in an hour.
//! - *Completeness*: once a day, everything that changed in the last day is compared with the table.

use crate::{
    Action, Client, Comparison, Finding, HealError, Healer, Line, Target, pass::is_rotating,
};
use models::Timestamp;
use providers::api::change::{Extent, WalkError, Window};
use std::time::Duration;
use storage::{
    Backlog, Guardian, Table,
    guardian::{Completeness, Gap, GuardError, Heard, Spent},
};

/// How long an account is silent before it is asked for its last changes, and the time between two
/// such questions.
const SILENCE: Duration = Duration::from_hours(1);
/// How far back the last event of a silent account is searched.
const MAX_SILENCE: Duration = Duration::from_hours(24 * 4);
/// How much later than its time an event may appear in the index.
const LATE: Duration = Duration::from_mins(1);
/// How much earlier than a gap its reading begins: its first moment is when an event was recorded.
const BEFORE_GAP: Duration = Duration::from_mins(5);
/// How much later than a gap its reading ends: the new webhook may not report at once.
const AFTER_GAP: Duration = Duration::from_mins(1);
/// How much two readings of a day overlap: a change may be shown late.
const OVERLAP: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);
/// The longest time that a daily reading makes up for, if the guardian did not run.
const MAX_DAYS: u32 = 7;
/// The part of the daily budget of tokens that is used without a gap: one in 20.
const ROUTINE: u32 = 20;
/// The part that is used at most: one in 10.
const MOST: u32 = 10;

/// Looks for what is missing in an account.
#[derive(Debug, Clone, Copy)]
pub struct Recovery<'a> {
    /// The account.
    pub target: &'a Target,
    /// The client for its API.
    pub client: &'a Client,
    /// The table that has its events and its state.
    pub table: &'a Table,
    /// The queues whose messages may be what is missing. `None`: they are not known.
    pub backlog: Option<&'a Backlog>,
    /// How long after an event its last retry may arrive.
    pub horizon: Duration,
}

impl Recovery<'_> {
    /// Reads back what is due, and saves what was found in the state of the account.
    ///
    /// # Errors
    /// [`GuardError`]. A failure of the provider's API or of a queue is a finding.
    pub async fn run(&self) -> Result<Vec<Line>, GuardError> {
        let mut lines = Vec::new();
        let Some(state) = self.table.guardian(&self.target.account()).await? else {
            return Ok(lines);
        };
        if is_rotating(&state, self.table.now()) {
            return Ok(lines);
        }
        for gap in &state.gaps {
            lines.extend(self.heal_gap(&state, gap).await?);
        }
        lines.extend(self.ask(&state).await?);
        lines.extend(self.complete(&state).await?);
        self.change(|state| state.spent = self.spent(state.spent.as_ref()))
            .await?;
        Ok(lines)
    }

    /// Reads a gap back, if the retry horizon is over.
    async fn heal_gap(&self, state: &Guardian, gap: &Gap) -> Result<Option<Line>, GuardError> {
        let window = Window {
            since: gap.from.before(BEFORE_GAP),
            until: gap.until.after(AFTER_GAP),
        };
        if window.until > self.healer(state).latest() {
            return Ok(None);
        }
        if !self.may_spend(state, MOST) {
            let why = "the API tokens of this day are used: it is read back tomorrow";
            return Ok(Some(gap_line(why)));
        }
        let line = match self.heal(state, window).await {
            Err(HealError::Empty(..)) => None,
            Err(error) => return failed(error, gap_line).map(Some),
            Ok(comparison) => Some(healed_line(&comparison)),
        };
        self.change(|state| state.gaps.retain(|known| known != gap))
            .await?;
        Ok(line)
    }

    /// Asks an account that is silent for its last changes. If some are missing, a gap is opened.
    async fn ask(&self, state: &Guardian) -> Result<Option<Line>, GuardError> {
        let now = self.table.now();
        let recent = now.before(SILENCE);
        let last_asked = state.asked.unwrap_or(state.registered);
        let is_due = last_asked <= recent && state.gaps.is_empty();
        if !is_due || has_heard_since(recent, state.heard.as_ref()) {
            return Ok(None);
        }
        let heard = self.listen(state).await?;
        let is_silent = !has_heard_since(recent, Some(&heard));
        let is_asked = is_silent && self.may_spend(state, ROUTINE);
        let since = heard.last.unwrap_or(oldest(state, now));
        self.change(|state| {
            state.heard = Some(heard);
            state.asked = if is_asked { Some(now) } else { state.asked };
        })
        .await?;
        if !is_asked {
            return Ok(None);
        }
        let window = Window { since, until: now };
        let comparison = match self.compare(state, window, Extent::Newest).await {
            Err(HealError::Empty(..)) => return Ok(None),
            Err(error) => return failed(error, suspicion_line).map(Some),
            Ok(comparison) => comparison,
        };
        if !comparison.is_gap() {
            return Ok(suspicion(&comparison));
        }
        let gap = Gap {
            from: since,
            until: now,
            reason: Finding::Gap.word().to_owned(),
        };
        self.change(|state| state.gaps.push(gap.clone())).await?;
        let why = format!("no webhook has arrived since {since}, and changes are missing");
        Ok(Some(gap_line(&why)))
    }

    /// Reads when an event was last recorded. The index is read from the last reading on, because
    /// an hour of it takes a query for each shard.
    async fn listen(&self, state: &Guardian) -> Result<Heard, GuardError> {
        let now = self.table.now();
        let oldest = oldest(state, now);
        let known = state.heard.as_ref();
        let since = known.map_or(oldest, |heard| heard.read.before(LATE).max(oldest));
        let found = self.table.last_recorded(&state.account, since).await?;
        let last = found.or(known.and_then(|heard| heard.last));
        Ok(Heard {
            last: last.filter(|last| *last >= oldest),
            read: now,
        })
    }

    /// Compares the last day with the table, if it is due.
    async fn complete(&self, state: &Guardian) -> Result<Option<Line>, GuardError> {
        let until = self.healer(state).latest();
        let last = state.completeness.as_ref().map(|last| last.until);
        let since = last.unwrap_or(state.registered);
        if until < since.after(DAY) || !self.may_spend(state, ROUTINE) {
            return Ok(None);
        }
        let since = since.max(until.before(DAY * MAX_DAYS)).before(OVERLAP);
        let comparison = self.compare(state, Window { since, until }, Extent::All);
        let comparison = match comparison.await {
            Err(HealError::Empty(..)) => return Ok(None),
            Err(error) => return failed(error, suspicion_line).map(Some),
            Ok(comparison) => comparison,
        };
        let mut completeness = Completeness {
            until,
            shown: comparison.shown,
            stored: comparison.stored(),
            healed: comparison.healed,
        };
        if let Err(error) = self.healer(state).store(&comparison.missing).await {
            return failed(error, gap_line).map(Some);
        }
        completeness.healed += comparison.missing.len() as u64;
        completeness.stored += comparison.missing.len() as u64;
        self.change(|state| state.completeness = Some(completeness.clone()))
            .await?;
        let line = match suspicion(&comparison) {
            Some(suspicion) if !comparison.is_gap() => Line {
                action: Action::Healed,
                healed: comparison.missing.len() as u64,
                ..suspicion
            },
            None | Some(_) => healed_line(&comparison),
        };
        Ok(Some(Line {
            completeness: Some(completeness),
            ..line
        }))
    }

    async fn heal(&self, state: &Guardian, window: Window) -> Result<Comparison, HealError> {
        let comparison = self.compare(state, window, Extent::All).await?;
        self.healer(state).store(&comparison.missing).await?;
        Ok(comparison)
    }

    async fn compare(
        &self,
        state: &Guardian,
        window: Window,
        extent: Extent,
    ) -> Result<Comparison, HealError> {
        let healer = self.healer(state);
        healer.compare(healer.allowed(window)?, extent).await
    }

    fn healer(&self, state: &Guardian) -> Healer<'_> {
        Healer {
            target: self.target,
            client: self.client,
            table: self.table,
            backlog: self.backlog,
            horizon: self.horizon,
            registered: Some(state.registered),
        }
    }

    /// Whether a reading stays within a part of the API's daily budget.
    fn may_spend(&self, state: &Guardian, part: u32) -> bool {
        let now = self.table.now();
        let window = Window {
            since: now.before(DAY),
            until: now,
        };
        let cost = (self.target.api.cost)(window);
        let spent = self.spent(state.spent.as_ref());
        let spent = spent.map_or(0, |spent| spent.tokens);
        cost.budget == 0 || spent + cost.tokens <= cost.budget / part
    }

    /// What was used of the API's budget on this day, with the calls of this pass.
    fn spent(&self, before: Option<&Spent>) -> Option<Spent> {
        let day = self.table.now().day();
        let before = before.filter(|spent| spent.day == day);
        let tokens = before.map_or(0, |spent| spent.tokens) + self.client.usage().tokens;
        (tokens > 0).then_some(Spent { day, tokens })
    }

    async fn change(&self, change: impl FnOnce(&mut Guardian)) -> Result<(), GuardError> {
        let mut guard = self.table.guard(&self.target.account()).await?;
        change(&mut guard.state);
        guard.release().await?;
        Ok(())
    }
}

/// The time from which on the last event of a silent account is searched.
fn oldest(state: &Guardian, now: Timestamp) -> Timestamp {
    now.before(MAX_SILENCE).max(state.registered)
}

/// Whether an event is known that was recorded after a time.
fn has_heard_since(time: Timestamp, heard: Option<&Heard>) -> bool {
    let last = heard.and_then(|heard| heard.last);
    last.is_some_and(|last| last > time)
}

/// The line of a gap that is not read back.
fn gap_line(why: &str) -> Line {
    Line::new(Finding::Gap, Action::None, None).because(&why)
}

fn suspicion_line(why: &str) -> Line {
    Line::new(Finding::Suspicion, Action::None, None).because(&why)
}

/// The line of what was read back.
fn healed_line(comparison: &Comparison) -> Line {
    let Window { since, until } = comparison.window;
    let unread = match comparison.unread.as_slice() {
        [] => String::new(),
        unread => format!(", without {}, which cannot be read", unread.join(", ")),
    };
    let span = format!("between {since} and {until}{unread}");
    match comparison.missing.len() {
        0 => {
            let why = format!("no event was missing {span}");
            Line::new(Finding::Ok, Action::None, None).because(&why)
        }
        missing => {
            let shown = comparison.shown;
            let why = format!("{missing} of {shown} changes were missing {span}");
            Line {
                healed: missing as u64,
                ..Line::new(Finding::Gap, Action::Healed, None).because(&why)
            }
        }
    }
}

/// The line of changes that may have no webhook.
fn suspicion(comparison: &Comparison) -> Option<Line> {
    let missing = comparison.missing.len();
    let why = format!("{missing} changes are missing, and may have no webhook");
    (missing > 0).then(|| suspicion_line(&why))
}

/// The line of a failure. A failure of the table ends the pass.
fn failed(error: HealError, line: fn(&str) -> Line) -> Result<Line, GuardError> {
    match error {
        HealError::Table(error) => Err(error.into()),
        HealError::Read(WalkError::Api(error)) => Ok(Line::from_error(&error)),
        error => Ok(line(&error.to_string())),
    }
}
