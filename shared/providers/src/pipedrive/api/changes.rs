//! The state of an object that Pipedrive's API shows as changes, and which of them no stored event
//! reports.

use super::{state::difference, walk::List};
use crate::{
    api::{
        ApiError, Flag,
        change::{Change, Changed, Difference, Window, is_read_back},
        time,
    },
    pipedrive::PIPEDRIVE,
};
use models::{
    Event, Timestamp,
    json::{self, Text},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{fmt, time::Duration};

/// `add_time` and `update_time` of a new object were seen one second apart.
const NEW: Duration = Duration::from_secs(2);

/// An object as the API shows it.
#[derive(Clone)]
pub struct Object {
    /// As [`Event::subject`].
    pub subject: String,
    list: List,
    added: Option<Timestamp>,
    pub(super) updated: Timestamp,
    is_deleted: bool,
    json: Box<RawValue>,
}

impl Object {
    pub(super) fn new(list: &List, json: Box<RawValue>) -> Result<Self, ApiError> {
        let members: Option<Members> = json::object(&json);
        let members = members.ok_or(ApiError::Malformed("a row that is not an object"))?;
        let id = members.id.0;
        let id = id.ok_or(ApiError::Malformed("a row without an id"))?;
        let added = time(&members.add_time);
        // A new object may have no `update_time`.
        let updated = time(&members.update_time).or(added);
        Ok(Self {
            subject: format!("{}/{id}", list.object),
            list: *list,
            added,
            updated: updated.ok_or(ApiError::Malformed("a row without a time"))?,
            is_deleted: members.status.get() == Some("deleted")
                || members.is_deleted.0 == Some(true)
                || members.active_flag.0 == Some(false),
            json,
        })
    }

    /// The object with its changes in a window.
    pub(super) fn changed(self, window: Window) -> Changed {
        let object = self.clone();
        Changed {
            subject: self.subject.clone(),
            since: self.compared_since(window),
            until: None,
            count: self.missing(window, &[]).len(),
            missing: Box::new(move |stored| self.missing(window, stored)),
            difference: Box::new(move |last| {
                last.map_or(Difference::Unknown, |last| object.difference(last))
            }),
        }
    }

    /// The time from which on [`missing`](Self::missing) needs the stored events of the subject.
    #[must_use]
    pub fn compared_since(&self, window: Window) -> Timestamp {
        let added = self.added.filter(|added| window.contains(*added));
        let first = added.map_or(self.updated, |added| added.min(self.updated));
        first.whole_second().before(NEW)
    }

    /// The changes of this object in a window that no stored event of its subject reports.
    ///
    /// - Creation: no event is a `created`.
    /// - Deletion: no event since `update_time` is a `deleted`.
    /// - Any other change: no event is as new as `update_time`. A webhook's time is in the second
    ///   of the object's `update_time` or later.
    ///
    /// The creation of an object that has not changed since then is one event, not two. An event
    /// that was read back stands for the change that it was made of, and for nothing later.
    #[must_use]
    pub fn missing(&self, window: Window, stored: &[Event]) -> Vec<Change> {
        let created = stored.iter().find(|event| word(event) == "created");
        let added = self.added.filter(|added| window.contains(*added));
        let mut missing = Vec::new();
        if let (Some(added), None) = (added, created) {
            missing.push(self.change("created", added));
        }
        let has_read_back = !missing.is_empty() || created.is_some_and(is_read_back);
        let is_one_event = self.is_new() && has_read_back;
        let is_reported = is_one_event || stored.iter().any(|event| self.is_reported_by(event));
        if window.contains(self.updated) && !is_reported {
            missing.push(self.change(self.state(), self.updated));
        }
        missing
    }

    /// Compares the object with the last stored event of it.
    ///
    /// Counters, followers and mail move `update_time`, and no webhook reports that. Then nothing
    /// else differs.
    #[must_use]
    pub fn difference(&self, last: &Event) -> Difference {
        difference(&self.json, last)
    }

    /// Whether the object has not changed since its creation.
    fn is_new(&self) -> bool {
        let is_new = |added: Timestamp| self.updated <= added.after(NEW);
        !self.is_deleted && self.added.is_some_and(is_new)
    }

    fn is_reported_by(&self, event: &Event) -> bool {
        let second = self.updated.whole_second();
        let has_state = word(event) == self.state();
        match (is_read_back(event), self.is_deleted) {
            (true, _) => has_state && event.time == self.updated,
            (false, true) => has_state && event.time >= second.before(NEW),
            (false, false) => event.time >= second,
        }
    }

    fn state(&self) -> &'static str {
        if self.is_deleted {
            "deleted"
        } else {
            "updated"
        }
    }

    fn change(&self, word: &str, time: Timestamp) -> Change {
        let data = format!(r#"{{"data":{}}}"#, self.json.get());
        Change {
            subject: self.subject.clone(),
            r#type: format!("com.{}.{}.{word}", PIPEDRIVE.name, self.list.object),
            time,
            originaltype: self.list.path.to_owned(),
            apiversion: Some(self.list.version()),
            entry_id: None,
            dataschema: None,
            data: RawValue::from_string(data).unwrap_or_default(),
        }
    }
}

/// The action of an event.
fn word(event: &Event) -> &str {
    event.r#type.rsplit('.').next().unwrap_or_default()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Members {
    id: Text,
    add_time: Text,
    update_time: Text,
    status: Text,
    is_deleted: Flag,
    /// Of notes.
    active_flag: Flag,
}

/// Without the object, which is personal data.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("subject", &self.subject)
            .field("added", &self.added)
            .field("updated", &self.updated)
            .field("is_deleted", &self.is_deleted)
            .finish_non_exhaustive()
    }
}
