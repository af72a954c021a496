//! Healing: reads what changed back from a provider's API, and stores what no webhook reported.
//!
//! # No event is stored twice
//!
//! An event that is read back has another id than the webhook's, so it is compared with the stored
//! events of its subject first. A webhook that may still arrive must not be healed:
//!
//! - Nothing is read that is nearer than the retry horizon of the provider, by its clock and by
//!   DynamoDB's: one that is ahead must not shorten it.
//! - Nothing is stored while the fallback queue or the dead-letter queue holds messages, or while
//!   deliveries of the window are quarantined: they may be what is missing.
//! - Two healings of one change store one event: its id is made of the change.
//!
//! An update of an object that looks like its last stored event is a counter that moved its time.
//! It is not missing.
//!
//! Nothing is read from before the registration, or from before the retention, and no erased subject
//! comes back.

use crate::{Client, Target};
use futures_util::{StreamExt, TryStreamExt, stream};
use models::{Delivery, Event, Record, Timestamp};
use providers::api::{
    ApiError,
    change::{Change, Changed, Difference, Extent, WalkError, Window, is_read_back},
};
use serde::Serialize;
use std::{collections::BTreeSet, pin::pin, time::Duration};
use storage::{Backlog, Erasures, EventKey, Failure, Key, Order, Table, TableError};
use tokio::time::sleep;

/// How often a call is sent again that failed for a reason that may pass.
const RETRIES: u32 = 4;
/// The first wait before a call is sent again. Each one is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for a rate limit.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How far a provider's clock can be behind.
const MOST_BEHIND: Duration = Duration::from_hours(24);
/// How many subjects are compared concurrently.
const CONCURRENT_SUBJECTS: usize = 8;
/// The request id of what was read back.
const REQUEST_ID: &str = "heal";

/// Reads back the changes of an account.
#[derive(Debug, Clone, Copy)]
pub struct Healer<'a> {
    /// The account.
    pub target: &'a Target,
    /// The client for its API.
    pub client: &'a Client,
    /// The table that has its events.
    pub table: &'a Table,
    /// The queues whose messages may be what is missing. `None`: they are not known.
    pub backlog: Option<&'a Backlog>,
    /// How long after an event its last retry may arrive.
    pub horizon: Duration,
    /// When the account was registered, if it is known.
    pub registered: Option<Timestamp>,
}

/// What was read back, compared with the table.
#[derive(Debug)]
pub struct Comparison {
    /// The window.
    pub window: Window,
    /// The number of changes that the API shows.
    pub shown: u64,
    /// The number of stored events of the window that were read back before.
    pub healed: u64,
    /// The number of changes that are missing and not stored again, because their subject was
    /// erased.
    pub erased: u64,
    /// The changes that no stored event reports.
    pub missing: Vec<Change>,
    /// The lists of the API that could not be read.
    pub unread: Vec<&'static str>,
    /// The subjects of missing updates whose state is another one than that of their last event.
    different: BTreeSet<String>,
}

/// A subject whose changes were compared with its stored events.
struct Compared {
    shown: u64,
    stored: Vec<Event>,
    missing: Vec<Change>,
    difference: Difference,
}

/// A change that is missing, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// As [`Event::subject`].
    pub subject: String,
    /// As [`Event::type`](Event#structfield.type).
    pub r#type: String,
    /// The time of the change.
    pub time: Timestamp,
}

/// Why nothing is read back, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// The window has no time in which something can be missing.
    #[error("nothing can be read back: from {} to {} is no time. Events are read back after the \
        registration, within the retention, and {}", .0.since, .0.until, when(.1))]
    Empty(Window, Duration),
    /// Messages wait in the queues.
    #[error(
        "{0} messages wait in the fallback queue or in the dead-letter queue, and may be what is missing"
    )]
    Waiting(u64),
    /// Deliveries are quarantined.
    #[error(
        "deliveries of {0} from that time are quarantined, and may be what is missing: replay or drop them"
    )]
    Quarantined(&'static str),
    /// The API failed.
    #[error(transparent)]
    Read(#[from] WalkError),
    /// A queue failed.
    #[error("a queue {0}")]
    Queue(Failure),
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

fn when(horizon: &Duration) -> String {
    format!(
        "{} minutes after them at the earliest",
        horizon.as_secs() / 60
    )
}

impl Healer<'_> {
    /// The part of a window that may be read back.
    ///
    /// # Errors
    /// [`HealError::Empty`].
    pub fn allowed(&self, window: Window) -> Result<Window, HealError> {
        let now = self.table.now();
        let retained = self.table.retention().map(|age| now.before(age));
        let first = [self.registered, retained].into_iter().flatten().max();
        let allowed = Window {
            since: first.map_or(window.since, |first| window.since.max(first)),
            until: window.until.min(self.latest()),
        };
        if allowed.since < allowed.until {
            Ok(allowed)
        } else {
            Err(HealError::Empty(allowed, self.horizon))
        }
    }

    /// The latest time that may be read back: the retry horizon is over, by both clocks. A provider's
    /// clock that is further behind than [`MOST_BEHIND`] is not used.
    pub(crate) fn latest(&self) -> Timestamp {
        let now = self.table.now();
        let date = self.client.date();
        let date = date.filter(|date| date.after(MOST_BEHIND) > now);
        date.map_or(now, |date| date.min(now)).before(self.horizon)
    }

    /// Reads the changes of a window, which [`allowed`](Self::allowed) has returned, and compares
    /// them with the table. Stores nothing.
    ///
    /// # Errors
    /// [`HealError`].
    pub async fn compare(&self, window: Window, extent: Extent) -> Result<Comparison, HealError> {
        self.check(window).await?;
        let (changed, unread) = self.read(window, extent).await?;
        // What was stored meanwhile is compared. What waits now is not.
        self.check(window).await?;
        let erasures = self.table.erasures(window.since).await?;
        let mut comparison = Comparison {
            window,
            shown: 0,
            healed: 0,
            erased: 0,
            missing: Vec::new(),
            unread,
            different: BTreeSet::new(),
        };
        let subjects = stream::iter(changed).map(|changed| self.compare_subject(changed));
        let mut subjects = pin!(subjects.buffered(CONCURRENT_SUBJECTS));
        while let Some(subject) = subjects.try_next().await? {
            comparison.add(self.target, subject, &erasures);
        }
        Ok(comparison)
    }

    async fn compare_subject(&self, changed: Changed) -> Result<Compared, TableError> {
        let pk = format!("{}#{}", self.target.account(), changed.subject);
        let stored = self
            .table
            .events_between(&pk, changed.since, changed.until)
            .await?;
        let mut missing = changed.missing(&stored);
        let mut difference = Difference::Unknown;
        if missing.iter().any(Change::is_update) {
            let last = self.table.latest(&pk).await?;
            difference = match last.map(|last| last.record) {
                Some(Record::Event { event, .. }) => changed.difference(Some(&event)),
                _ => changed.difference(None),
            };
        }
        if difference == Difference::None {
            missing.retain(|change| !change.is_update());
        }
        Ok(Compared {
            shown: changed.count as u64,
            stored,
            missing,
            difference,
        })
    }

    /// Stores the changes that are missing, as events.
    ///
    /// # Errors
    /// [`HealError::Table`].
    pub async fn store(&self, missing: &[Change]) -> Result<(), HealError> {
        for change in missing {
            for record in self.records(change.clone()) {
                self.table.put_record(record, self.table.expiry()).await?;
            }
        }
        Ok(())
    }

    /// The record of a change, as if its data were the body of a delivery.
    fn records(&self, change: Change) -> Vec<Record> {
        let body = change.data.get().as_bytes().to_vec();
        let mut delivery = Delivery::new(body, self.table.now(), REQUEST_ID);
        delivery.origin.content_type = Some("application/json".to_owned());
        let event = Event::new(&delivery, change.draft(self.target.account()));
        let parsed = event.map(|event| vec![Ok(event)]);
        Record::from_delivery(self.target.provider.name, &delivery, parsed)
    }

    async fn check(&self, window: Window) -> Result<(), HealError> {
        if let Some(backlog) = self.backlog {
            let messages = backlog.messages().await.map_err(HealError::Queue)?;
            if messages > 0 {
                return Err(HealError::Waiting(messages));
            }
        }
        let provider = self.target.provider.name;
        let arrivals = window.since..window.until.after(self.horizon);
        let quarantined = self
            .table
            .quarantined(provider, arrivals, Order::OldestFirst);
        match pin!(quarantined).try_next().await? {
            None => Ok(()),
            Some(_) => Err(HealError::Quarantined(provider)),
        }
    }

    /// Returns what changed, and the lists that cannot be read.
    async fn read(
        &self,
        window: Window,
        extent: Extent,
    ) -> Result<(Vec<Changed>, Vec<&'static str>), WalkError> {
        let Target { api, access, .. } = self.target;
        let mut reader = (api.read)(window, extent);
        let mut failures = 0;
        while let Some(call) = reader.next(access) {
            let response = self.client.send(call).await;
            match reader.receive(response) {
                Ok(()) => failures = 0,
                Err(WalkError::Api(error)) if failures < RETRIES => {
                    let Some(wait) = wait(&error, failures) else {
                        return Err(error.into());
                    };
                    failures += 1;
                    sleep(wait).await;
                }
                Err(error) => return Err(error),
            }
        }
        let unread = reader.unread();
        Ok((reader.finish(), unread))
    }
}

/// How long to wait before a call is sent again. `None`: a person has to do something, or a long
/// wait is needed.
fn wait(error: &ApiError, failures: u32) -> Option<Duration> {
    match error {
        ApiError::RateLimited { wait } => wait.filter(|wait| *wait <= MAX_WAIT),
        ApiError::Unavailable(_) | ApiError::NoResponse(_) => {
            Some(FIRST_WAIT * 2_u32.pow(failures))
        }
        _ => None,
    }
}

impl Comparison {
    fn add(&mut self, target: &Target, subject: Compared, erasures: &Erasures) {
        self.shown += subject.shown;
        let window = self.window;
        let healed = subject
            .stored
            .iter()
            .filter(|event| is_read_back(event) && window.contains(event.time));
        self.healed += healed.count() as u64;
        for change in subject.missing {
            let key = EventKey {
                source: target.account(),
                subject: change.subject.clone(),
                time: change.time,
                id: String::new(),
            };
            if erasures.cover_key(&Key::from(&key), Some(window.since)) {
                self.erased += 1;
            } else {
                if change.is_update() && subject.difference == Difference::Found {
                    self.different.insert(change.subject.clone());
                }
                self.missing.push(change);
            }
        }
    }

    /// The number of changes that the table has.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.shown - self.missing.len() as u64 - self.erased
    }

    /// Whether webhooks did not arrive. An update alone can be a counter that moved the time of an
    /// object without a webhook, so it takes three subjects with another state than their last
    /// events. Anything else is certain.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.different.len() >= SUBJECTS_OF_A_GAP || !self.missing.iter().all(Change::is_update)
    }
}

/// How many subjects with a missing update are a gap.
const SUBJECTS_OF_A_GAP: usize = 3;

impl From<&Change> for Missing {
    fn from(change: &Change) -> Self {
        Self {
            subject: change.subject.clone(),
            r#type: change.r#type.clone(),
            time: change.time,
        }
    }
}
