//! Parser of the webhooks of amoCRM, also sold as Kommo: form-encoded webhooks of the account and
//! of the digital pipeline, any number of events each.
//!
//! Sources: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>,
//! <https://developers.kommo.com/docs/webhooks-general>, <https://developers.kommo.com/docs/webhooks-dp>

use super::{
    AMOCRM,
    form::{self, Decoded, Form},
};
use models::{
    Delivery, Event, EventDraft, Identity, MAX_EVENTS, OwnTime, ParseError, Parsed, hash, json,
};
use serde_json::value::to_raw_value;

/// Parses a webhook into an event for each item of each action of each entity. An item that cannot
/// be parsed does not affect the others.
pub(super) fn parse(delivery: &Delivery) -> Parsed {
    let Decoded { form, is_exact } = form::read(&delivery.body)?;
    let account = form.part("account");
    let is_exact = is_exact && has_items_alone(&form);
    let shared = Shared {
        source: source(account),
        beside: beside(account, is_exact, &delivery.body)?,
    };
    let mut events = Vec::new();
    for (entity, actions) in entities(&form) {
        for (action, items) in actions.parts() {
            for fields in each(items) {
                // Skip the rest, because the delivery is quarantined.
                if events.len() == MAX_EVENTS {
                    return Err(ParseError::TooManyEvents { limit: MAX_EVENTS });
                }
                let item = Item {
                    entity,
                    action,
                    fields,
                };
                let draft = item.draft(&shared, events.len());
                events.push(draft.and_then(|draft| Event::new(delivery, draft)));
            }
        }
    }
    if events.is_empty() && account.is_none() {
        return Err(unknown_shape());
    }
    Ok(events)
}

/// The values that every event of a body shares.
struct Shared {
    source: String,
    /// See [`beside`].
    beside: String,
}

/// A hash of the body without its items. If the form represents the body exactly, it is a hash of
/// the account. Otherwise it is a hash of the whole body, which has the same bytes in a retry. Two
/// contents must not become one event because parsing lost the difference.
fn beside(account: Option<&Form>, is_exact: bool, body: &[u8]) -> Result<String, ParseError> {
    if !is_exact {
        return Ok(hash(&[b"body", body]));
    }
    let account = to_raw_value(&account).map_err(|_| unknown_shape())?;
    Ok(hash(&[b"account", &json::canonical(&account, &[])]))
}

/// All top-level fields except the account.
fn entities(form: &Form) -> impl Iterator<Item = (&str, &Form)> {
    form.parts().filter(|(entity, _)| *entity != "account")
}

/// Returns `true` if a form has only its account and its items, and the name of each item is
/// a number.
fn has_items_alone(form: &Form) -> bool {
    entities(form).all(|(_, actions)| has_actions_alone(actions))
}

fn has_actions_alone(entity: &Form) -> bool {
    matches!(entity, Form::Parts(_))
        && entity
            .parts()
            .all(|(_, action)| has_numbered_items_alone(action))
}

fn has_numbered_items_alone(action: &Form) -> bool {
    matches!(action, Form::Parts(_))
        && action
            .parts()
            .all(|(number, item)| is_number(number) && matches!(item, Form::Parts(_)))
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

fn unknown_shape() -> ParseError {
    ParseError::UnknownShape {
        provider: AMOCRM.name.to_owned(),
    }
}

/// `amocrm/<account id>`. Before 2020 the account block held only the subdomain; the documentation
/// leaves it out.
fn source(account: Option<&Form>) -> String {
    match account.and_then(|account| account.text("id").or(account.text("subdomain"))) {
        Some(account) => format!("{}/{account}", AMOCRM.name),
        None => AMOCRM.name.to_owned(),
    }
}

/// The items of an action. They are named `0`, `1` and so on; a single item can have no number.
fn each(items: &Form) -> Vec<&Form> {
    if items.parts().any(|(_, part)| matches!(part, Form::Text(_))) {
        return vec![items];
    }
    items.parts().map(|(_, item)| item).collect()
}

/// One item of a webhook: `leads[status][0]`.
struct Item<'a> {
    entity: &'a str,
    action: &'a str,
    fields: &'a Form,
}

impl Item<'_> {
    fn draft(&self, shared: &Shared, index: usize) -> Result<EventDraft, ParseError> {
        let object = self.object();
        let word = action_word(self.action);
        let time = self.time(word);
        let data = to_raw_value(self.fields).map_err(|_| unknown_shape())?;
        Ok(EventDraft {
            source: shared.source.clone(),
            r#type: format!("com.amocrm.{object}.{word}"),
            subject: self.subject(object)?,
            time,
            identity: Identity::Item {
                entity: self.entity.to_owned(),
                action: self.action.to_owned(),
                content: json::canonical(&data, &[]),
                beside: shared.beside.clone(),
            },
            index,
            dataschema: None,
            originaltype: format!("{}.{}", self.entity, self.action),
            apiversion: None,
            channel: Some(self.channel(time).to_owned()),
            eventid: None,
            data,
        })
    }

    /// The fields of the item. A note has its fields one level deeper than all other items.
    fn own_fields(&self) -> &Form {
        self.fields.part("note").unwrap_or(self.fields)
    }

    /// The object type in the singular. amoCRM sends a company under `contacts`, and marks it in
    /// the item's own fields.
    fn object(&self) -> &str {
        let object = object_word(self.entity);
        let note = self.fields.part("note");
        let note_is_on_company = note.and_then(|note| note.text("element_type")) == Some("3");
        let is_company = note_is_on_company || self.fields.text("type") == Some("company");
        if object == "contact" && is_company {
            "company"
        } else {
            object
        }
    }

    /// The subject of the event. For a note it is the entity that the note was written on. For a
    /// message it is the chat that the message belongs to.
    fn subject(&self, object: &str) -> Result<String, ParseError> {
        let fields = self.own_fields();
        if self.fields.part("note").is_some() {
            return named(object, fields.text("element_id"), "note.element_id");
        }
        if let (Some(chat), "message" | "outgoing_message") = (fields.text("chat_id"), object) {
            return Ok(format!("chat/{chat}"));
        }
        let id = match object {
            "talk" => fields.text("talk_id"),
            "unsorted" => fields.text("uid"),
            _ => None,
        };
        named(
            object,
            id.or(fields.text("id")).or(fields.text("uid")),
            "id",
        )
    }

    /// The time of the change. `created_at` counts only for actions that happen once to an object,
    /// because an update repeats it.
    fn time(&self, word: &str) -> OwnTime {
        let fields = self.own_fields();
        let created_at = match word {
            "created" | "deleted" | "note_added" => fields.text("created_at"),
            _ => None,
        };
        OwnTime::first([
            fields.text("updated_at"),
            fields.text("last_modified"),
            created_at,
        ])
    }

    /// The channel that reported the event. The digital pipeline has its own actions, and has two
    /// actions in common with the account. The account's items always carry the time of the change;
    /// the digital pipeline's never do.
    fn channel(&self, time: OwnTime) -> &'static str {
        let pipeline = match self.action {
            "call_in" | "chat" | "mail_in" | "period" | "site_visit" => true,
            "add" | "status" => {
                matches!(self.entity, "leads" | "customers") && time == OwnTime::Missing
            }
            _ => false,
        };
        if pipeline {
            "digital_pipeline"
        } else {
            "account"
        }
    }
}

/// Our word for an entity: its object type in the singular. A word that is not listed stays as it
/// is, so that a new entity does not need a release.
///
/// Source: <https://developers.kommo.com/docs/webhooks-general>
pub(super) fn object_word(entity: &str) -> &str {
    match entity {
        "leads" => "lead",
        "contacts" => "contact",
        "companies" => "company",
        "customers" => "customer",
        "tasks" => "task",
        "catalogs" => "catalog_element",
        own => own,
    }
}

/// Our word for an action. A word that is not listed stays as it is.
pub(super) fn action_word(action: &str) -> &str {
    match action {
        "add" => "created",
        "update" => "updated",
        "delete" => "deleted",
        "restore" => "restored",
        "status" => "status_changed",
        "responsible" => "responsible_changed",
        "note" => "note_added",
        "period" => "period_changed",
        own => own,
    }
}

/// Returns `<object>/<id>`. The error does not contain the object, because a sender can write
/// anything there.
fn named(object: &str, id: Option<&str>, field: &str) -> Result<String, ParseError> {
    let id = id.ok_or_else(|| ParseError::Missing {
        shape: "item".to_owned(),
        field: field.to_owned(),
    })?;
    Ok(format!("{object}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Timestamp;

    #[test]
    fn a_reason_holds_nothing_of_the_body() {
        let arrival = Timestamp::from_epoch(1_795_255_200).unwrap();
        let delivery = Delivery::new(
            b"SECRET[SECRET][SECRET][SECRET]=SECRET".to_vec(),
            arrival,
            "r",
        );
        let reason = parse(&delivery).unwrap().remove(0).unwrap_err();
        assert_eq!(
            reason,
            ParseError::Missing {
                shape: "item".to_owned(),
                field: "id".to_owned()
            }
        );
    }
}
