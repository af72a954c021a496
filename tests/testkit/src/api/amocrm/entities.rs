//! The entities of an account, as people create, change and delete them, and their notes and
//! talks. Each act is written to the log, and sent by webhooks.
//!
//! - One act can be several entries in the log, and several webhooks.
//! - The webhook of a deletion has no time.
//! - A company's webhooks are under `contacts`.
//! - An entry of a message names the talk, and its webhook names the chat.
//!
//! Sources:
//! - <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>
//! - <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>
//! - <https://www.amocrm.ru/developers/content/crm_platform/talks-api>

mod form;
mod lists;

use super::log::{EventsLog, LogEntry};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt, time::Duration};

pub(super) use form::Report;

const FIRST_ID: u64 = 15_318_175;
const FIRST_STATUS: u64 = 67_548_607;

/// Kinds of entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntityKind {
    /// A lead.
    Lead,
    /// A contact.
    Contact,
    /// A company.
    Company,
    /// A customer.
    Customer,
    /// A task.
    Task,
}

impl EntityKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Lead,
        Self::Contact,
        Self::Company,
        Self::Customer,
        Self::Task,
    ];

    /// Its name in the log: `lead`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Contact => "contact",
            Self::Company => "company",
            Self::Customer => "customer",
            Self::Task => "task",
        }
    }

    /// Its name in a path: `leads`.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Lead => "leads",
            Self::Contact => "contacts",
            Self::Company => "companies",
            Self::Customer => "customers",
            Self::Task => "tasks",
        }
    }
}

/// An entity of an account. As text it is the subject of its events: `lead/42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityId {
    /// Its kind.
    pub kind: EntityKind,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.number)
    }
}

/// The entities of an account.
#[derive(Debug)]
pub struct Entities {
    /// Whether the account has customers. Without them, their kind is invalid in a request.
    pub has_customers: bool,
    /// The log of events.
    pub log: EventsLog,
    existing: BTreeMap<EntityId, Entity>,
    notes: Vec<EntityNote>,
    talks: Vec<ChatTalk>,
    reports: Vec<Report>,
    /// The last number that was given to an entity, a note, a talk or a message.
    last_number: u64,
}

#[derive(Debug, Clone)]
struct Entity {
    id: EntityId,
    created: Duration,
    updated: Duration,
    status: u64,
    /// The number of its changes.
    version: u64,
}

#[derive(Debug)]
struct EntityNote {
    number: u64,
    entity: EntityId,
    created: Duration,
}

#[derive(Debug, Clone)]
struct ChatTalk {
    number: u64,
    lead: EntityId,
    contact: EntityId,
    created: Duration,
}

#[derive(Debug)]
struct Message {
    number: u64,
    created: Duration,
}

impl Default for Entities {
    fn default() -> Self {
        Self {
            has_customers: true,
            log: EventsLog::default(),
            existing: BTreeMap::new(),
            notes: Vec::new(),
            talks: Vec::new(),
            reports: Vec::new(),
            last_number: FIRST_ID,
        }
    }
}

impl Entities {
    /// Creates an entity.
    pub fn create(&mut self, kind: EntityKind, now: Duration) -> EntityId {
        let number = self.next_number();
        let id = EntityId { kind, number };
        let entity = Entity {
            id,
            created: now,
            updated: now,
            status: FIRST_STATUS,
            version: 1,
        };
        let after = match kind {
            EntityKind::Task => json!([]),
            _ => json!([{ "note": { "id": self.next_number() } }]),
        };
        self.write(id, &format!("{}_added", kind.name()), after, json!([]), now);
        self.reports.push(Report::entity("add", &entity));
        self.existing.insert(id, entity);
        id
    }

    /// Changes the name and a custom field of an entity, which are two entries in the log, or the
    /// text of a task.
    pub fn update(&mut self, id: EntityId, now: Duration) {
        let before = self.entity(id).clone();
        let entity = self.entity(id);
        entity.version += 1;
        entity.updated = now;
        let after = entity.clone();
        if id.kind == EntityKind::Task {
            let text = |task: &Entity| json!([{ "task": { "text": task.name() } }]);
            self.write(id, "task_text_changed", text(&after), text(&before), now);
        } else {
            let name = |entity: &Entity| json!([{ "name_field_value": { "name": entity.name() } }]);
            self.write(id, "name_field_changed", name(&after), name(&before), now);
            let word = format!("custom_field_{}_value_changed", form::CUSTOM_FIELD);
            self.write(id, &word, after.field(), before.field(), now);
        }
        self.reports.push(Report::entity("update", &after));
    }

    /// Moves a lead to another status, which sends two webhooks.
    pub fn move_lead(&mut self, id: EntityId, now: Duration) {
        assert_eq!(id.kind, EntityKind::Lead, "only a lead has a status");
        let before = self.entity(id).clone();
        let lead = self.entity(id);
        lead.status += 1;
        lead.updated = now;
        let after = lead.clone();
        let status = |lead: &Entity| json!([{ "lead_status": { "id": lead.status, "pipeline_id": form::PIPELINE } }]);
        let (new, old) = (status(&after), status(&before));
        self.write(id, "lead_status_changed", new, old, now);
        self.reports.push(Report::moved("status", &after, &before));
        self.reports.push(Report::moved("update", &after, &before));
    }

    /// Writes a note. Returns its number.
    pub fn note(&mut self, entity: EntityId, now: Duration) -> u64 {
        assert_ne!(entity.kind, EntityKind::Task, "a task has no notes");
        self.entity(entity);
        let number = self.next_number();
        let note = EntityNote {
            number,
            entity,
            created: now,
        };
        let after = json!([{ "note": { "id": number } }]);
        self.write(entity, "common_note_added", after, json!([]), now);
        self.reports.push(Report::note(&note));
        self.notes.push(note);
        number
    }

    /// A contact of a lead writes a message. The first one begins a talk, which only a webhook
    /// reports.
    pub fn receive_message(&mut self, lead: EntityId, contact: EntityId, now: Duration) {
        self.entity(contact);
        self.entity(lead);
        let known = self.talks.iter().find(|talk| talk.contact == contact);
        let talk = known.cloned();
        let talk = talk.unwrap_or_else(|| self.begin_talk(lead, contact, now));
        let message = Message {
            number: self.next_number(),
            created: now,
        };
        let after = json!([{ "message": {
            "id": message.id(), "origin": "telegram", "talk_id": talk.number,
        } }]);
        self.write(talk.lead, "incoming_chat_message", after, json!([]), now);
        self.reports.push(Report::message(&message, &talk));
    }

    /// Deletes an entity. The messages about a lead are then in the log as its contact's.
    pub fn delete(&mut self, id: EntityId, now: Duration) {
        let entity = self.entity(id).clone();
        self.existing.remove(&id);
        let word = format!("{}_deleted", id.kind.name());
        self.write(id, &word, json!([]), json!([]), now);
        self.reports.push(Report::deleted(&entity));
        for talk in self.talks.iter_mut().filter(|talk| talk.lead == id) {
            talk.lead = talk.contact;
            self.log.reassign_messages(id, talk.contact);
        }
    }

    /// The entities that are not deleted, in the order of kinds and numbers.
    pub fn ids(&self) -> impl Iterator<Item = EntityId> {
        self.existing.keys().copied()
    }

    fn begin_talk(&mut self, lead: EntityId, contact: EntityId, now: Duration) -> ChatTalk {
        let talk = ChatTalk {
            number: self.next_number(),
            lead,
            contact,
            created: now,
        };
        self.reports.push(Report::talk(&talk));
        self.talks.push(talk.clone());
        talk
    }

    fn write(&mut self, entity: EntityId, word: &str, after: Value, before: Value, now: Duration) {
        let entry = LogEntry {
            r#type: word.to_owned(),
            entity,
            value_after: after,
            value_before: before,
        };
        self.log.log(entry, now);
    }

    fn entity(&mut self, id: EntityId) -> &mut Entity {
        let entity = self.existing.get_mut(&id);
        entity.unwrap_or_else(|| panic!("there is no {id}"))
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }
}

impl Entity {
    fn name(&self) -> String {
        format!("Сделка {}, version {}", self.id.number, self.version)
    }

    fn field_text(&self) -> String {
        format!("version {}", self.version)
    }

    /// The custom field in the log.
    fn field(&self) -> Value {
        let text = self.field_text();
        let field = form::CUSTOM_FIELD;
        json!([{ "custom_field_value": {
            "field_id": field, "field_type": 1, "enum_id": null, "text": text,
        } }])
    }
}

impl Message {
    fn id(&self) -> String {
        format!("{:08x}-4ead-4c38-9bb1-3797c0621460", self.number)
    }
}

impl ChatTalk {
    fn chat_id(&self) -> String {
        format!("{:08x}-7ed1-443b-9108-6938ae6b7935", self.number)
    }
}
