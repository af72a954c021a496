//! The notes on entities of a kind, and a talk.
//!
//! Sources:
//! - <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>
//! - <https://www.amocrm.ru/developers/content/crm_platform/talks-api>

use super::{
    super::{
        JSON,
        paging::{HOST, Paging, Parameters},
        problem,
    },
    Entities, EntityKind, EntityNote,
};
use crate::api::{ApiResponse, json};
use serde_json::{Value, json};

const MAX_NOTES: usize = 250;

impl Entities {
    /// `GET /api/v4/leads/notes`: the notes that `filter[id]` names, or all.
    pub(crate) fn notes(&self, account: u64, kind: EntityKind, query: Option<&str>) -> ApiResponse {
        let parameters = Parameters::new(query);
        let ids = parameters.all("filter[id]");
        let notes = self.notes.iter().filter(|note| {
            let is_wanted = ids.is_empty() || ids.contains(&&*note.number.to_string());
            note.entity.kind == kind && is_wanted
        });
        let notes: Vec<&EntityNote> = notes.collect();
        let paging = Paging::new(&parameters, MAX_NOTES);
        let path = format!("{}/notes", kind.plural());
        paging.page(&path, "notes", &notes, |note| note.item(account))
    }

    /// `GET /api/v4/talks/{id}`
    pub(crate) fn talk(&self, account: u64, number: &str) -> ApiResponse {
        let mut talks = self.talks.iter();
        let found = talks.find(|talk| talk.number.to_string() == number);
        let Some(talk) = found else {
            return problem(404, "Not Found", "Talk is not found");
        };
        let talk = json!({
            "talk_id": talk.number, "created_at": talk.created.as_secs(),
            "updated_at": talk.created.as_secs(), "rate": 0, "contact_id": talk.contact.number,
            "chat_id": talk.chat_id(), "entity_id": talk.lead.number,
            "entity_type": talk.lead.kind.name(), "is_in_work": true, "is_read": false,
            "origin": "telegram", "missed_at": null, "account_id": account,
            "_links": { "self": { "href": format!("{HOST}/api/v4/talks/{number}") } },
        });
        json(200, JSON, &talk)
    }
}

impl EntityNote {
    pub(super) fn text(&self) -> String {
        format!("Note {}", self.number)
    }

    fn item(&self, account: u64) -> Value {
        let second = self.created.as_secs();
        let entity = self.entity;
        let path = format!("{}/{}/notes", entity.kind.plural(), entity.number);
        json!({
            "id": self.number, "entity_id": entity.number, "created_by": 940_088,
            "updated_by": 940_088, "created_at": second, "updated_at": second,
            "responsible_user_id": 940_088, "group_id": 0, "note_type": "common",
            "params": { "text": self.text() }, "account_id": account,
            "_links": { "self": { "href": format!("{HOST}/api/v4/{path}/{}", self.number) } },
        })
    }
}
