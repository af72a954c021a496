//! The objects of a company, as people create, change and delete them.
//!
//! - A deleted deal is listed as deleted for 30 days. Any other deleted object is not listed.
//! - Some changes move `update_time` without a webhook: counters, followers, mail.
//! - `update_time` is the second of the webhook's `timestamp`. A lead's has milliseconds, and is up
//!   to 97 ms earlier.
//! - The `update_time` of a new object can be a second before its `add_time`.
//!
//! Sources:
//! - <https://developers.pipedrive.com/docs/api/v1> (versions 1 and 2)
//! - <https://developers.pipedrive.com/changelog>: what is deleted is gone after 30 days
//! - <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>: examples with both times
//! - <https://github.com/airbytehq/airbyte>, `source-pipedrive`: captured objects

pub(super) mod lists;
mod query;
mod shape;

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

pub(super) use shape::Report;

/// The difference between the time of a lead and that of its webhook, at least and at most.
const LEAD_DELAY_MILLIS: (u64, u64) = (5, 97);

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A deal, which can be won, lost and archived.
    Deal,
    /// A person.
    Person,
    /// An organization.
    Organization,
    /// An activity.
    Activity,
    /// A product.
    Product,
    /// A lead, which can be archived.
    Lead,
    /// A note.
    Note,
    /// A pipeline.
    Pipeline,
    /// A stage.
    Stage,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Deal,
        Self::Person,
        Self::Organization,
        Self::Activity,
        Self::Product,
        Self::Lead,
        Self::Note,
        Self::Pipeline,
        Self::Stage,
    ];

    /// Its name in a webhook: `deal`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deal => "deal",
            Self::Person => "person",
            Self::Organization => "organization",
            Self::Activity => "activity",
            Self::Product => "product",
            Self::Lead => "lead",
            Self::Note => "note",
            Self::Pipeline => "pipeline",
            Self::Stage => "stage",
        }
    }
}

/// An object of a company. As text it is the subject of its events: `deal/42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its number among the objects of its kind, from 1.
    pub number: u64,
}

impl ObjectId {
    /// Its position in a list that is sorted by id. The ids of leads are UUIDs, whose order is not
    /// that of their creation.
    fn position(self) -> u64 {
        match self.kind {
            ObjectKind::Lead => self.number.wrapping_mul(2_654_435_761) & u64::from(u32::MAX),
            _ => self.number,
        }
    }

    /// Its id in JSON.
    fn json(self) -> Value {
        match self.kind {
            ObjectKind::Lead => self.text().into(),
            _ => self.number.into(),
        }
    }

    fn text(self) -> String {
        match self.kind {
            ObjectKind::Lead => format!("{:08x}-6c0d-11ed-9826-a53d0eb706a5", self.position()),
            _ => self.number.to_string(),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.text())
    }
}

/// The status of a deal that is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DealStatus {
    /// Open.
    Open,
    /// Won.
    Won,
    /// Lost.
    Lost,
}

/// The objects of a company.
#[derive(Debug)]
pub struct Objects {
    /// Kinds that the token's user has no right to see.
    pub hidden: BTreeSet<ObjectKind>,
    /// Maximum number of rows of a page, whatever limit a request has.
    pub rows_per_page: usize,
    /// Those that are deleted included.
    all: BTreeMap<ObjectId, Object>,
    reports: Vec<Report>,
    /// The number of reports so far.
    reported: u64,
}

#[derive(Debug, Clone)]
struct Object {
    id: ObjectId,
    added: Duration,
    updated: Duration,
    status: DealStatus,
    archived: Option<Duration>,
    deleted: Option<Duration>,
    /// The number of its changes.
    version: u64,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            hidden: BTreeSet::new(),
            rows_per_page: lists::MAX_ROWS,
            all: BTreeMap::new(),
            reports: Vec::new(),
            reported: 0,
        }
    }
}

impl Objects {
    /// Creates an object.
    pub fn create(&mut self, kind: ObjectKind, now: Duration) -> ObjectId {
        let first = ObjectId { kind, number: 0 };
        let last = ObjectId {
            kind,
            number: u64::MAX,
        };
        let last = self.all.range(first..last).next_back();
        let number = last.map_or(0, |(last, _)| last.number) + 1;
        let id = ObjectId { kind, number };
        let added = stored(kind, now);
        let is_early = kind != ObjectKind::Lead && number.is_multiple_of(4);
        let object = Object {
            id,
            added,
            updated: added - Duration::from_secs(is_early.into()),
            status: DealStatus::Open,
            archived: None,
            deleted: None,
            version: 1,
        };
        self.report("create", Some(&object), None, now);
        self.all.insert(id, object);
        id
    }

    /// Changes the title and a custom field of an object.
    pub fn change(&mut self, id: ObjectId, now: Duration) {
        self.edit(id, now, |object| object.version += 1);
    }

    /// Wins, loses or reopens a deal.
    pub fn set_status(&mut self, id: ObjectId, status: DealStatus, now: Duration) {
        assert_eq!(id.kind, ObjectKind::Deal, "only a deal has a status");
        self.edit(id, now, |deal| deal.status = status);
    }

    /// Archives a deal or a lead.
    pub fn archive(&mut self, id: ObjectId, now: Duration) {
        let has_archive = matches!(id.kind, ObjectKind::Deal | ObjectKind::Lead);
        assert!(has_archive, "{id} cannot be archived");
        self.edit(id, now, |object| object.archived = Some(now));
    }

    /// Moves `update_time` without a webhook, as a counter or a follower does.
    pub fn touch(&mut self, id: ObjectId, now: Duration) {
        self.existing(id).updated = stored(id.kind, now);
    }

    /// Deletes an object.
    pub fn delete(&mut self, id: ObjectId, now: Duration) {
        let object = self.existing(id);
        let before = object.clone();
        object.updated = stored(id.kind, now);
        object.deleted = Some(now);
        self.report("delete", None, Some(&before), now);
    }

    /// The objects that are not deleted, in the order of kinds and numbers.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        let objects = self.all.values();
        let existing = objects.filter(|object| object.deleted.is_none());
        existing.map(|object| object.id)
    }

    /// The status of a deal.
    ///
    /// # Panics
    /// If there is no such object.
    #[must_use]
    pub fn status(&self, id: ObjectId) -> DealStatus {
        self.all[&id].status
    }

    /// The `update_time` of an object, deleted ones included.
    ///
    /// # Panics
    /// If there is no such object.
    #[must_use]
    pub fn updated(&self, id: ObjectId) -> Duration {
        self.all[&id].updated
    }

    fn edit(&mut self, id: ObjectId, now: Duration, edit: impl FnOnce(&mut Object)) {
        let object = self.existing(id);
        let before = object.clone();
        edit(object);
        object.updated = stored(id.kind, now);
        let after = object.clone();
        self.report("change", Some(&after), Some(&before), now);
    }

    fn existing(&mut self, id: ObjectId) -> &mut Object {
        let object = self.all.get_mut(&id);
        let object = object.filter(|object| object.deleted.is_none());
        object.unwrap_or_else(|| panic!("there is no {id}"))
    }

    fn report(
        &mut self,
        action: &'static str,
        after: Option<&Object>,
        before: Option<&Object>,
        now: Duration,
    ) {
        self.reported += 1;
        let report = Report::new(self.reported, action, after, before, now);
        self.reports.push(report);
    }

    pub(super) fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }
}

/// A time as Pipedrive stores it: whole seconds, and milliseconds for leads.
fn stored(kind: ObjectKind, now: Duration) -> Duration {
    match kind {
        ObjectKind::Lead => {
            let millis = now.as_millis().try_into().unwrap();
            Duration::from_millis(millis)
        }
        _ => Duration::from_secs(now.as_secs()),
    }
}
