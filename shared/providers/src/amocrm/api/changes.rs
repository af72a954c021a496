//! The events of amoCRM's log as changes, and which of them no stored event reports.
//!
//! Source: <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>

use crate::{
    amocrm::AMOCRM,
    api::{
        ApiError,
        change::{Change, Changed, Difference, is_read_back},
    },
};
use models::{
    Event, Timestamp,
    json::{self, Lenient, Text},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt, time::Duration};

/// The page that describes the data of an event that was read back.
pub const DATA_SCHEMA: &str =
    "https://www.amocrm.ru/developers/content/crm_platform/events-and-notes";

/// The times around a change at which its event is looked for.
pub const COMPARED_BEFORE: Duration = Duration::from_secs(2);
/// See [`COMPARED_BEFORE`]. An event without a time has that of its last retry.
pub const COMPARED_AFTER: Duration = Duration::from_mins(100);

/// An event in the log.
#[derive(Clone)]
pub struct Entry {
    /// Its id: a ULID.
    pub id: String,
    /// amoCRM's word for it.
    pub r#type: String,
    entity: String,
    entity_id: String,
    /// The second of the event.
    second: i64,
    /// What it has in common with a webhook.
    ids: Ids,
    json: Box<RawValue>,
}

/// What the changes of a log refer to, and is not in it.
#[derive(Debug, Default)]
pub struct Context {
    /// The chat of each talk: [`talk`](super::walk::talk).
    pub chats: BTreeMap<u64, String>,
    /// Notes by their ids: [`notes`](super::walk::notes).
    pub notes: BTreeMap<u64, Box<RawValue>>,
}

/// The events of a log as changes.
#[derive(Debug, Default)]
pub struct Logged {
    /// Changes by subject. All updates of a subject in one second are one change.
    pub changes: BTreeMap<String, Vec<LoggedChange>>,
    /// The number of events without a webhook, or without a subject, by type.
    pub skipped: BTreeMap<String, usize>,
}

/// A change, and what it has in common with a webhook.
#[derive(Debug, Clone)]
pub struct LoggedChange {
    /// The change.
    pub change: Change,
    ids: Ids,
}

impl Entry {
    /// The entity and the id of its note, whose text is not in the log.
    #[must_use]
    pub fn note(&self) -> Option<(&str, u64)> {
        let (_, word) = self.kind()?;
        let is_note = matches!(word, "note_added" | "site_visit" | "mail_in");
        let id = self.ids.note.as_ref().filter(|_| is_note)?;
        Some((&self.entity, id.parse().ok()?))
    }

    /// The talk of its message, whose chat is not in the log.
    #[must_use]
    pub fn talk_id(&self) -> Option<u64> {
        let (object, _) = self.kind()?;
        let talk = self.ids.talk.as_ref().filter(|_| object == "message")?;
        talk.parse().ok()
    }

    /// The time of the event. Its id has the milliseconds, unless it is not of that second.
    fn time(&self) -> Option<Timestamp> {
        let time = ulid_millis(&self.id).and_then(Timestamp::from_epoch);
        let time = time.filter(|time| time.as_seconds() == self.second);
        time.or_else(|| Timestamp::from_epoch(self.second))
    }

    /// The object and the action in our words. `None`: no webhook reports it.
    fn kind(&self) -> Option<(&str, &'static str)> {
        let entity = &*self.entity;
        Some(match &*self.r#type {
            "lead_added" | "contact_added" | "company_added" | "customer_added" => {
                (entity, "created")
            }
            "lead_deleted" | "contact_deleted" | "company_deleted" | "customer_deleted" => {
                (entity, "deleted")
            }
            "lead_restored" | "contact_restored" | "company_restored" => (entity, "restored"),
            "lead_status_changed" => (entity, "status_changed"),
            "entity_responsible_changed" if entity == "lead" => (entity, "responsible_changed"),
            "entity_responsible_changed"
            | "sale_field_changed"
            | "name_field_changed"
            | "ltv_field_changed"
            | "custom_field_value_changed"
            | "customer_status_changed"
            | "entity_tag_added"
            | "entity_tag_deleted"
            | "entity_segment_attached"
            | "entity_segment_detached"
            | "entity_merged" => (entity, "updated"),
            "common_note_added"
            | "attachment_note_added"
            | "service_note_added"
            | "geo_note_added"
            | "message_to_cashier_note_added"
            | "targeting_in_note_added"
            | "targeting_out_note_added"
            | "incoming_call"
            | "outgoing_call"
            | "incoming_sms"
            | "outgoing_sms"
            | "outgoing_mail"
            | "link_followed" => (entity, "note_added"),
            "site_visit_note_added" => (entity, "site_visit"),
            "incoming_mail" => (entity, "mail_in"),
            "task_added" => ("task", "created"),
            "task_deleted" => ("task", "deleted"),
            "task_completed"
            | "task_text_changed"
            | "task_type_changed"
            | "task_deadline_changed"
            | "task_result_added" => ("task", "updated"),
            "incoming_chat_message" | "outgoing_chat_message" => ("message", "created"),
            "talk_created" => ("talk", "created"),
            "talk_closed" => ("talk", "updated"),
            word if word.ends_with("_linked") || word.ends_with("_unlinked") => (entity, "updated"),
            word if word.starts_with("custom_field_") => (entity, "updated"),
            _ => return None,
        })
    }

    /// The subject of its webhook. A task's event may name the entity that the task belongs to, and
    /// a message's may not name the talk: the webhook has another subject then.
    fn subject(&self, object: &str, context: &Context) -> Option<String> {
        match object {
            "message" => {
                let chat = context.chats.get(&self.talk_id()?)?;
                Some(format!("chat/{chat}"))
            }
            "talk" if self.entity != "talk" => {
                let talk = self.ids.talk.as_ref()?;
                Some(format!("talk/{talk}"))
            }
            "task" if self.entity != "task" => None,
            "" => None,
            _ if self.entity_id.is_empty() => None,
            _ => Some(format!("{object}/{}", self.entity_id)),
        }
    }

    fn change(&self, context: &Context) -> Option<Change> {
        let (object, word) = self.kind()?;
        let note = self.note().and_then(|(_, id)| context.notes.get(&id));
        Some(Change {
            subject: self.subject(object, context)?,
            r#type: format!("com.{}.{object}.{word}", AMOCRM.name),
            time: self.time()?,
            originaltype: self.r#type.clone(),
            apiversion: None,
            entry_id: Some(self.id.clone()),
            dataschema: Some(DATA_SCHEMA),
            data: data(&[self], note.map(|note| &**note)),
        })
    }
}

/// `{"events":[...],"note":{...}}`, in the shapes of the API.
fn data(entries: &[&Entry], note: Option<&RawValue>) -> Box<RawValue> {
    let events: Vec<&str> = entries.iter().map(|entry| entry.json.get()).collect();
    let events = events.join(",");
    let note = note.map(|note| format!(r#","note":{}"#, note.get()));
    let data = format!(r#"{{"events":[{events}]{}}}"#, note.unwrap_or_default());
    RawValue::from_string(data).unwrap_or_default()
}

/// The milliseconds since 1970 in the first ten characters of a ULID.
///
/// Source: <https://github.com/ulid/spec>
fn ulid_millis(id: &str) -> Option<i64> {
    const DIGITS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let time = id.as_bytes().get(..10).filter(|_| id.len() == 26)?;
    time.iter().try_fold(0, |millis: i64, char| {
        let char = char.to_ascii_lowercase();
        let digit = DIGITS.iter().position(|digit| *digit == char)?;
        Some(millis * 32 + i64::try_from(digit).ok()?)
    })
}

/// The subjects of the events of a log, with their changes.
pub(super) fn changed(entries: &[Entry], context: &Context) -> Vec<Changed> {
    let subjects = Logged::new(entries, context).changes.into_iter();
    let changed = subjects.filter_map(|(subject, changes)| {
        let times = changes.iter().map(|logged| logged.change.time);
        Some(Changed {
            subject,
            since: times.clone().min()?.before(COMPARED_BEFORE),
            until: Some(times.max()?.after(COMPARED_AFTER)),
            count: changes.len(),
            missing: Box::new(move |stored| missing(changes.clone(), stored)),
            // The log has events, and no counters.
            difference: Box::new(|_| Difference::Found),
        })
    });
    changed.collect()
}

impl Logged {
    /// The changes that the events of a log are.
    #[must_use]
    pub fn new(entries: &[Entry], context: &Context) -> Self {
        let mut logged = Self::default();
        let mut updates: BTreeMap<(String, i64), Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            let Some(change) = entry.change(context) else {
                *logged.skipped.entry(entry.r#type.clone()).or_default() += 1;
                continue;
            };
            if change.r#type.ends_with(".updated") {
                let key = (change.subject, entry.second);
                updates.entry(key).or_default().push(entry);
            } else {
                // The creation of a lead names a note too, which is another event.
                let note = entry.ids.note.clone().filter(|_| entry.note().is_some());
                let ids = entry.ids.clone();
                logged.push(change, Ids { note, ..ids });
            }
        }
        for mut update in updates.into_values() {
            update.sort_by(|one, other| one.id.cmp(&other.id));
            let Some(mut change) = update.first().and_then(|first| first.change(context)) else {
                continue;
            };
            change.data = data(&update, None);
            logged.push(change, Ids::default());
        }
        logged
    }

    fn push(&mut self, change: Change, ids: Ids) {
        let changes = self.changes.entry(change.subject.clone()).or_default();
        changes.push(LoggedChange { change, ids });
    }
}

/// How close the time of a change and of an event are.
#[derive(Debug, Clone, Copy)]
enum Close {
    /// The same second, as it is expected.
    Second,
    /// Within two seconds.
    Near,
    /// The event has no time of its own, and arrived after the change.
    Arrival,
}

/// The changes of one subject that none of its stored events reports. `stored` has those from
/// [`COMPARED_BEFORE`] the first change until [`COMPARED_AFTER`] the last.
///
/// Each event reports one change. Both have the same type, and
///
/// - the same note or message, at any time; or else
/// - times in one second, else two seconds apart at most, else the event has no time of its own and
///   arrived within 100 minutes after the change. A status must be the same.
///
/// An event that was read back reports the change that it was made of. An update reports all
/// changes of its second.
#[must_use]
pub fn missing(mut changes: Vec<LoggedChange>, stored: &[Event]) -> Vec<Change> {
    changes.sort_by_key(|logged| logged.change.time);
    let mut stored: Vec<Stored> = stored.iter().map(Stored::new).collect();
    stored.sort_by_key(|stored| stored.event.time);
    for close in [Close::Second, Close::Near, Close::Arrival] {
        changes.retain(|logged| {
            let report = stored.iter().position(|stored| logged.is_in(stored, close));
            report.map(|index| stored.remove(index)).is_none()
        });
    }
    changes.into_iter().map(|logged| logged.change).collect()
}

/// A stored event, and what it has in common with the log.
struct Stored<'a> {
    event: &'a Event,
    ids: Ids,
}

impl<'a> Stored<'a> {
    fn new(event: &'a Event) -> Self {
        let item: Item = json::object(&event.data).unwrap_or_default();
        let is_message = event.r#type.contains("message.");
        let ids = Ids {
            note: item.note.0.and_then(|note| note.id.0),
            message: item.id.0.filter(|_| is_message),
            talk: None,
            status: item.status_id.0,
        };
        Self { event, ids }
    }
}

impl LoggedChange {
    fn is_in(&self, stored: &Stored, close: Close) -> bool {
        let event = stored.event;
        if is_read_back(event) {
            let is_update = event.r#type.ends_with(".updated");
            let is_same_second = event.time.as_seconds() == self.change.time.as_seconds();
            return event.eventid == self.change.entry_id
                || is_update && event.r#type == self.change.r#type && is_same_second;
        }
        let (own, other) = (&self.ids, &stored.ids);
        let notes = is_same(own.note.as_deref(), other.note.as_deref());
        if let Some(is_same) = notes.or(is_same(own.message.as_deref(), other.message.as_deref())) {
            return is_same;
        }
        self.has_type_of(event)
            && is_same(own.status.as_deref(), other.status.as_deref()) != Some(false)
            && self.is_close(event, close)
    }

    /// Whether an event has the type of this change. The log has one word for a responsible user:
    /// for entities other than leads their webhook can be an update.
    fn has_type_of(&self, event: &Event) -> bool {
        let update = event.r#type.strip_suffix(".responsible_changed");
        let update = update.map(|object| format!("{object}.updated"));
        event.r#type == self.change.r#type || update.as_ref() == Some(&self.change.r#type)
    }

    fn is_close(&self, event: &Event, close: Close) -> bool {
        let time = self.change.time.whole_second();
        let second = event.time.whole_second();
        let near = time.before(COMPARED_BEFORE)..=time.after(COMPARED_BEFORE);
        match (close, event.timeproblem) {
            (Close::Second, None) => second == time,
            (Close::Near, None) => near.contains(&second),
            (Close::Arrival, Some(_)) => {
                (time.before(COMPARED_BEFORE)..=time.after(COMPARED_AFTER)).contains(&second)
            }
            (Close::Second | Close::Near, Some(_)) | (Close::Arrival, None) => false,
        }
    }
}

/// Whether two ids are the same, if both are known.
fn is_same(one: Option<&str>, other: Option<&str>) -> Option<bool> {
    Some(one? == other?)
}

/// The ids that a webhook and the log have in common.
#[derive(Debug, Clone, Default)]
struct Ids {
    note: Option<String>,
    message: Option<String>,
    talk: Option<String>,
    status: Option<String>,
}

/// An item of a webhook.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Item {
    id: Text,
    status_id: Text,
    note: Lenient<WithId>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EntryBody {
    id: Text,
    r#type: Text,
    entity_id: Text,
    entity_type: Text,
    created_at: Text,
    value_after: Lenient<Vec<After>>,
}

/// A value of an event, of which one member is set.
#[derive(Deserialize, Default)]
#[serde(default)]
struct After {
    note: Lenient<WithId>,
    message: Lenient<WithId>,
    talk: Lenient<WithId>,
    lead_status: Lenient<WithId>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WithId {
    id: Text,
    talk_id: Text,
}

impl From<After> for Ids {
    fn from(after: After) -> Self {
        let [note, message, talk, status] =
            [after.note, after.message, after.talk, after.lead_status]
                .map(|value| value.0.unwrap_or_default());
        Self {
            note: note.id.0,
            message: message.id.0,
            talk: message.talk_id.0.or(talk.talk_id.0).or(talk.id.0),
            status: status.id.0,
        }
    }
}

impl TryFrom<Box<RawValue>> for Entry {
    type Error = ApiError;

    fn try_from(json: Box<RawValue>) -> Result<Self, ApiError> {
        let body: Option<EntryBody> = json::object(&json);
        let body = body.ok_or(ApiError::Malformed("an event that is not an object"))?;
        let id = body.id.0;
        let second = body.created_at.get().and_then(|second| second.parse().ok());
        let after = body.value_after.0.unwrap_or_default().into_iter().next();
        Ok(Self {
            id: id.ok_or(ApiError::Malformed("an event without an id"))?,
            r#type: body.r#type.0.unwrap_or_default(),
            entity: body.entity_type.0.unwrap_or_default(),
            entity_id: body.entity_id.0.unwrap_or_default(),
            second: second.ok_or(ApiError::Malformed("an event without a time"))?,
            ids: after.map(Ids::from).unwrap_or_default(),
            json,
        })
    }
}

/// Without the values, which are personal data.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("type", &self.r#type)
            .finish_non_exhaustive()
    }
}
