//! The bodies of an account's webhooks.
//!
//! Source: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>

use super::{ChatTalk, Entity, EntityId, EntityKind, EntityNote, Message};
use crate::api::Notice;
use form_urlencoded::Serializer;
use models::Timestamp;
use std::time::Duration;

pub(super) const CUSTOM_FIELD: u64 = 1_246_483;
pub(super) const PIPELINE: u64 = 8_572_511;
const USER: &str = "11087123";

/// An item, as a webhook sends it.
#[derive(Debug)]
pub(crate) struct Report {
    /// The setting of its webhooks: `add_lead`.
    kind: String,
    /// The names of its fields begin with it: `leads[add][0]`.
    prefix: String,
    /// Names without the prefix, and values: `[id]`.
    fields: Vec<(String, String)>,
}

impl Report {
    fn new(action: &str, object: &str, key: &str) -> Self {
        Self {
            kind: format!("{action}_{object}"),
            prefix: format!("{key}[{action}][0]"),
            fields: Vec::new(),
        }
    }

    fn for_kind(action: &str, kind: EntityKind) -> Self {
        Self::new(action, kind.name(), key(kind))
    }

    fn with(mut self, name: &str, value: &dyn ToString) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// An entity that was created or changed.
    pub(super) fn entity(action: &str, entity: &Entity) -> Self {
        let report = Self::for_kind(action, entity.id.kind);
        match entity.id.kind {
            EntityKind::Task => report.task(entity),
            _ => report.card(entity),
        }
    }

    /// A lead whose status has changed.
    pub(super) fn moved(action: &str, after: &Entity, before: &Entity) -> Self {
        Self::entity(action, after).with("[old_status_id]", &before.status)
    }

    fn card(self, entity: &Entity) -> Self {
        let report = self
            .with("[id]", &entity.id.number)
            .with("[name]", &entity.name())
            .with("[responsible_user_id]", &USER)
            .with("[last_modified]", &entity.updated.as_secs())
            .with("[modified_user_id]", &USER)
            .with("[created_user_id]", &USER)
            .with("[date_create]", &entity.created.as_secs())
            .with("[custom_fields][0][id]", &CUSTOM_FIELD)
            .with("[custom_fields][0][name]", &"Text")
            .with("[custom_fields][0][values][0][value]", &entity.field_text())
            .with("[created_at]", &entity.created.as_secs())
            .with("[updated_at]", &entity.updated.as_secs());
        match entity.id.kind {
            EntityKind::Lead => report.status(entity).with("[price]", &500),
            kind => report.type_of(kind),
        }
    }

    fn task(self, task: &Entity) -> Self {
        self.with("[id]", &task.id.number)
            .with("[element_id]", &15_320_411)
            .with("[element_type]", &2)
            .with("[task_type]", &1)
            .with("[date_create]", &with_space(task.created))
            .with("[text]", &task.name())
            .with("[status]", &0)
            .with("[created_user_id]", &USER)
            .with("[last_modified]", &with_space(task.updated))
            .with("[responsible_user_id]", &USER)
            .with("[created_at]", &task.created.as_secs())
            .with("[updated_at]", &task.updated.as_secs())
    }

    fn status(self, lead: &Entity) -> Self {
        self.with("[status_id]", &lead.status)
            .with("[pipeline_id]", &PIPELINE)
    }

    /// What tells a company from a contact.
    fn type_of(self, kind: EntityKind) -> Self {
        match kind {
            EntityKind::Contact | EntityKind::Company => self.with("[type]", &kind.name()),
            _ => self,
        }
    }

    /// An entity that was deleted: without a time.
    pub(super) fn deleted(entity: &Entity) -> Self {
        let report = Self::for_kind("delete", entity.id.kind);
        let report = report.with("[id]", &entity.id.number);
        match entity.id.kind {
            EntityKind::Lead => report.status(entity),
            kind => report.type_of(kind),
        }
    }

    pub(super) fn note(note: &EntityNote) -> Self {
        let EntityId { kind, number } = note.entity;
        Self::for_kind("note", kind)
            .with("[note][text]", &note.text())
            .with("[note][note_type]", &4)
            .with("[note][element_type]", &element_type(kind))
            .with("[note][element_id]", &number)
            .with("[note][date_create]", &with_space(note.created))
            .with("[note][created_by]", &USER)
            .with("[note][main_user_id]", &USER)
            .with("[note][id]", &note.number)
            .with("[note][created_at]", &note.created.as_secs())
            .with("[note][updated_at]", &note.created.as_secs())
            .type_of(kind)
    }

    pub(super) fn message(message: &Message, talk: &ChatTalk) -> Self {
        Self::new("add", "message", "message")
            .with("[id]", &message.id())
            .with("[text]", &"Hello!")
            .with("[created_at]", &message.created.as_secs())
            .with("[element_type]", &element_type(talk.lead.kind))
            .with("[element_id]", &talk.lead.number)
            .with("[type]", &"incoming")
            .in_talk(talk)
    }

    pub(super) fn talk(talk: &ChatTalk) -> Self {
        Self::new("add", "talk", "talk")
            .with("[created_at]", &talk.created.as_secs())
            .with("[updated_at]", &talk.created.as_secs())
            .with("[rate]", &0)
            .with("[is_in_work]", &1)
            .with("[is_read]", &0)
            .in_talk(talk)
    }

    fn in_talk(self, talk: &ChatTalk) -> Self {
        self.with("[talk_id]", &talk.number)
            .with("[chat_id]", &talk.chat_id())
            .with("[contact_id]", &talk.contact.number)
            .with("[entity_type]", &talk.lead.kind.name())
            .with("[entity_id]", &talk.lead.number)
            .with("[origin]", &"telegram")
    }

    /// The delivery of a webhook.
    pub(crate) fn notice(&self, account: u64) -> Notice {
        let mut form = Serializer::new(String::new());
        form.append_pair("account[subdomain]", "example")
            .append_pair("account[id]", &account.to_string())
            .append_pair("account[_links][self]", "https://example.amocrm.ru");
        for (name, value) in &self.fields {
            form.append_pair(&format!("{}{name}", self.prefix), value);
        }
        Notice {
            kind: self.kind.clone(),
            content_type: "application/x-www-form-urlencoded",
            body: form.finish(),
        }
    }
}

/// The name of the entity in a form. Companies are sent as contacts.
fn key(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Company => "contacts",
        EntityKind::Task => "task",
        kind => kind.plural(),
    }
}

fn element_type(kind: EntityKind) -> u8 {
    match kind {
        EntityKind::Contact => 1,
        EntityKind::Lead => 2,
        EntityKind::Company => 3,
        EntityKind::Customer => 12,
        EntityKind::Task => 4,
    }
}

/// `2024-09-17 16:38:11`
fn with_space(time: Duration) -> String {
    Timestamp::from_unix(time).to_string()[..19].replace('T', " ")
}
