//! How an object looks in a list, and in a webhook of version 2.
//!
//! Sources: <https://developers.pipedrive.com/docs/api/v1>,
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>

use super::{DealStatus, LEAD_DELAY_MILLIS, Object, ObjectId, ObjectKind};
use crate::api::Notice;
use models::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const CUSTOM_FIELD: &str = "3d0fa3429dfa2d3dec265b4fc5dc8258ab66cdf3";

/// A change, as every webhook reports it.
#[derive(Debug)]
pub(crate) struct Report {
    number: u64,
    action: &'static str,
    id: ObjectId,
    at: Duration,
    data: Value,
    previous: Value,
}

impl Report {
    pub(super) fn new(
        number: u64,
        action: &'static str,
        after: Option<&Object>,
        before: Option<&Object>,
        now: Duration,
    ) -> Self {
        let id = after.or(before).unwrap().id;
        let (least, most) = LEAD_DELAY_MILLIS;
        let delay = match id.kind {
            ObjectKind::Lead => least + number % (most - least + 1),
            _ => 0,
        };
        let previous = match (after, before) {
            (Some(after), Some(before)) => difference(before, after),
            (None, Some(before)) => before.webhook_data(),
            (_, None) => Value::Null,
        };
        Self {
            number,
            action,
            id,
            at: now + Duration::from_millis(delay),
            data: after.map(Object::webhook_data).unwrap_or_default(),
            previous,
        }
    }

    /// The first attempt to deliver it, through a webhook of version 2.
    pub(crate) fn notice(&self, company: u64) -> Notice {
        let number = self.number;
        let body = json!({
            "data": self.data, "previous": self.previous,
            "meta": {
                "action": self.action, "company_id": company.to_string(),
                "correlation_id": format!("121e5331-7ec6-4af8-9994-{number:012x}"),
                "entity_id": self.id.text(), "entity": self.id.kind.name(),
                "id": format!("df47d877-b58c-4886-91cd-{number:012x}"),
                "is_bulk_edit": false, "timestamp": millis(self.at), "type": "general",
                "user_id": "8067149", "version": "2.0", "webhook_id": "1",
                "webhook_owner_id": "8067149", "change_source": "app", "attempt": 1,
                "host": "example.pipedrive.com", "permitted_user_ids": ["8067149"],
            },
        });
        Notice {
            kind: format!("{}.{}", self.action, self.id.kind.name()),
            content_type: "application/json",
            body: body.to_string(),
        }
    }
}

/// The members that a change had before. The examples of deals, persons and organizations have no
/// `update_time` there.
fn difference(before: &Object, after: &Object) -> Value {
    let (mut before_data, after_data) = (before.webhook_data(), after.webhook_data());
    let members = before_data.as_object_mut().unwrap();
    members.retain(|name, value| after_data[name] != *value);
    let has_time = !matches!(
        before.id.kind,
        ObjectKind::Deal | ObjectKind::Person | ObjectKind::Organization
    );
    if !has_time {
        members.remove("update_time");
    }
    before_data
}

impl Object {
    /// The object in a list.
    pub(super) fn row(&self) -> Value {
        let kind = self.id.kind;
        let mut row = self.members();
        let custom_field = self.custom_field();
        match kind {
            ObjectKind::Note => {
                row["active_flag"] = self.deleted.is_none().into();
                row["add_time"] = with_space(self.added).into();
                row["update_time"] = with_space(self.updated).into();
                return row;
            }
            ObjectKind::Lead => row[CUSTOM_FIELD] = custom_field.into(),
            ObjectKind::Activity | ObjectKind::Pipeline | ObjectKind::Stage => {}
            _ => row["custom_fields"] = json!({ CUSTOM_FIELD: custom_field }),
        }
        if kind != ObjectKind::Lead {
            row["is_deleted"] = self.deleted.is_some().into();
        }
        row["add_time"] = self.time(self.added).into();
        row["update_time"] = self.time(self.updated).into();
        row
    }

    /// The object in a webhook.
    fn webhook_data(&self) -> Value {
        let kind = self.id.kind;
        let mut data = self.members();
        match kind {
            ObjectKind::Note | ObjectKind::Pipeline | ObjectKind::Stage => {
                data["active_flag"] = true.into();
            }
            _ => {
                let field = json!({ "type": "varchar", "value": self.custom_field() });
                data["custom_fields"] = json!({ CUSTOM_FIELD: field });
            }
        }
        data["add_time"] = self.time(self.added).into();
        data["update_time"] = match kind {
            // As in the examples.
            ObjectKind::Deal if self.version == 1 && self.updated <= self.added => Value::Null,
            _ => self.time(self.updated).into(),
        };
        data
    }

    /// What a list and a webhook have in common.
    fn members(&self) -> Value {
        let id = self.id.json();
        let kind = self.id.kind;
        let name = format!(
            "{} {}, version {}",
            kind.name(),
            self.id.number,
            self.version
        );
        let amount = 100 * self.version;
        match kind {
            ObjectKind::Deal => json!({
                "id": id, "title": name, "owner_id": 8_067_149, "value": amount,
                "currency": "EUR", "stage_id": 1, "pipeline_id": 1, "status": self.status(),
                "is_archived": self.archived.is_some(),
                "archive_time": self.archived.map(|archived| self.time(archived)),
            }),
            ObjectKind::Person => json!({
                "id": id, "name": name, "owner_id": 8_067_149, "org_id": null, "phones": [],
                "emails": [{ "value": "a@example.com", "primary": true, "label": "work" }],
            }),
            ObjectKind::Organization => json!({
                "id": id, "name": name, "owner_id": 8_067_149, "address": null,
            }),
            ObjectKind::Activity => json!({
                "id": id, "subject": name, "type": "call", "owner_id": 8_067_149, "done": false,
                "due_date": "2026-12-15", "deal_id": null,
            }),
            ObjectKind::Product => json!({
                "id": id, "name": name, "code": "PENCIL", "tax": 0, "owner_id": 8_067_149,
            }),
            ObjectKind::Lead => json!({
                "id": id, "title": name, "owner_id": 8_067_149, "was_seen": true,
                "value": { "amount": amount, "currency": "EUR" },
                "is_archived": self.archived.is_some(),
            }),
            ObjectKind::Note => json!({
                "id": id, "content": name, "user_id": 8_067_149, "deal_id": 1,
            }),
            ObjectKind::Pipeline => json!({ "id": id, "name": name, "order_nr": 1 }),
            ObjectKind::Stage => json!({
                "id": id, "name": name, "order_nr": 1, "pipeline_id": 1, "deal_probability": 100,
            }),
        }
    }

    fn custom_field(&self) -> String {
        format!("version {}", self.version)
    }

    fn status(&self) -> &'static str {
        match self.status {
            _ if self.deleted.is_some() => "deleted",
            DealStatus::Open => "open",
            DealStatus::Won => "won",
            DealStatus::Lost => "lost",
        }
    }

    /// Whether a list of deals with these statuses has it.
    pub(super) fn has_status_of(&self, statuses: &[&str]) -> bool {
        statuses.contains(&self.status())
    }

    fn time(&self, time: Duration) -> String {
        match self.id.kind {
            ObjectKind::Lead => millis(time),
            _ => format!("{}Z", &text(time)[..19]),
        }
    }
}

/// `2022-11-24T15:37:20.386Z`
fn millis(time: Duration) -> String {
    format!("{}Z", &text(time)[..23])
}

/// `2023-02-22 08:27:54`
fn with_space(time: Duration) -> String {
    text(time)[..19].replace('T', " ")
}

fn text(time: Duration) -> String {
    Timestamp::from_unix(time).to_string()
}
