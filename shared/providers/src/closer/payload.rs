//! Parser of Closer's webhooks: JSON webhooks for conversations, one event each, and the business
//! events that a draft in its documentation describes.
//!
//! Sources: <https://support.closer.app/guide/getting-deeper/push-out-data-with-webhooks>,
//! <https://support.closer.app/guide/upcoming-features-drafts/xbusiness-events-structure-json-draft>

use super::CLOSER;
use models::{
    Delivery, Event, EventDraft, Identity, OwnTime, ParseError, Parsed,
    json::{self, Lenient, Text},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Parses a webhook, which is always one event.
pub(super) fn parse(delivery: &Delivery) -> Parsed {
    let raw = json::check(&delivery.body)?;
    let webhook: Webhook = json::object(raw).ok_or_else(unknown_shape)?;
    let draft = match (webhook.event_type.get(), &webhook.message.0) {
        (Some(event_type), _) => conversation(event_type, &webhook, raw)?,
        (None, Some(event)) => business_event(event, raw)?,
        (None, None) => return Err(unknown_shape()),
    };
    Ok(vec![Event::new(delivery, draft)])
}

fn unknown_shape() -> ParseError {
    ParseError::UnknownShape {
        provider: CLOSER.name.to_owned(),
    }
}

/// A conversation was created or closed. Closer identifies only the customer, neither the
/// conversation nor the event.
fn conversation(
    event_type: &str,
    webhook: &Webhook,
    raw: &RawValue,
) -> Result<EventDraft, ParseError> {
    let customer = webhook.customer.0.as_ref().map(|customer| &customer.id);
    let customer = customer
        .unwrap_or(&Text(None))
        .require("conversation event", "customer.id")?;
    let action = match event_type {
        "ThreadCreatedEvent" => "created",
        "ThreadClosedEvent" => "closed",
        own => own,
    };
    Ok(draft(
        &format!("conversation.{action}"),
        format!("customer/{customer}"),
        webhook.timestamp.get(),
        event_type,
        raw,
    ))
}

/// An event of an agent or a conversation, in the shape of the draft in the documentation.
fn business_event(event: &BusinessEvent, raw: &RawValue) -> Result<EventDraft, ParseError> {
    const SHAPE: &str = "business event";
    let description = event.description.0.as_ref().ok_or_else(unknown_shape)?;
    let action = description
        .action
        .require(SHAPE, "message.description.action")?;
    let category = description
        .category
        .0
        .as_deref()
        .and_then(<[_]>::first)
        .ok_or_else(unknown_shape)?;
    let category = category.require(SHAPE, "message.description.category")?;
    let ids = event.event.0.as_ref().ok_or_else(unknown_shape)?;
    let id = if category == "agent" {
        &ids.agent
    } else {
        &ids.room
    };
    let id = id
        .get()
        .or(ids.room.get())
        .or(ids.agent.get())
        .or(ids.guest.get())
        .ok_or_else(unknown_shape)?;
    let originaltype = format!("{category}.{action}");
    Ok(draft(
        &originaltype,
        format!("{category}/{id}"),
        event.timestamp.get(),
        &originaltype,
        raw,
    ))
}

fn draft(
    kind: &str,
    subject: String,
    timestamp: Option<&str>,
    originaltype: &str,
    raw: &RawValue,
) -> EventDraft {
    EventDraft {
        source: CLOSER.name.to_owned(),
        r#type: format!("app.closer.{kind}"),
        subject,
        time: OwnTime::parse(timestamp),
        identity: Identity::Body {
            content: json::canonical(raw, &[]),
        },
        index: 0,
        dataschema: None,
        originaltype: originaltype.to_owned(),
        apiversion: None,
        channel: None,
        eventid: None,
        data: raw.to_owned(),
    }
}

/// The fields of a webhook that the parser uses. All other fields only pass through in the event's
/// `data`. Among them are the customer's e-mail and phone, inside or beside `customer`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    /// `ThreadCreatedEvent`, `ThreadClosedEvent`.
    #[serde(default)]
    event_type: Text,
    #[serde(default)]
    customer: Lenient<Customer>,
    /// Milliseconds since 1970.
    #[serde(default)]
    timestamp: Text,
    /// The outer object of the draft in the documentation.
    #[serde(default)]
    message: Lenient<BusinessEvent>,
}

#[derive(Deserialize)]
struct Customer {
    #[serde(default)]
    id: Text,
}

#[derive(Deserialize)]
struct BusinessEvent {
    #[serde(default)]
    event: Lenient<Ids>,
    #[serde(default)]
    description: Lenient<Description>,
    /// Milliseconds since 1970.
    #[serde(default)]
    timestamp: Text,
}

/// The ids of the agent, the room and the guest of an event.
#[derive(Deserialize)]
struct Ids {
    #[serde(default, rename = "agentId")]
    agent: Text,
    #[serde(default, rename = "roomId")]
    room: Text,
    #[serde(default, rename = "guestId")]
    guest: Text,
}

/// The category and action of an event.
#[derive(Deserialize)]
struct Description {
    /// `["agent"]` or `["conversation"]`.
    #[serde(default)]
    category: Lenient<Vec<Text>>,
    /// `login`, `status_change`, `created`.
    #[serde(default)]
    action: Text,
}
