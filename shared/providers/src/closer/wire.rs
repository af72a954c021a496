//! The fields of Closer's webhooks that the parser uses. All other fields only pass through in the
//! event's `data`. Among them are the customer's e-mail and phone, inside or beside `customer`;
//! neither is needed here.

use models::json::{Lenient, Text};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    /// `ThreadCreatedEvent`, `ThreadClosedEvent`.
    #[serde(default)]
    pub(crate) event_type: Text,
    #[serde(default)]
    pub(crate) customer: Lenient<Customer>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) timestamp: Text,
    /// The outer object of the draft in the documentation.
    #[serde(default)]
    pub(crate) message: Lenient<BusinessEvent>,
}

#[derive(Deserialize)]
pub(crate) struct Customer {
    #[serde(default)]
    pub(crate) id: Text,
}

#[derive(Deserialize)]
pub(crate) struct BusinessEvent {
    #[serde(default)]
    pub(crate) event: Lenient<Ids>,
    #[serde(default)]
    pub(crate) description: Lenient<Description>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) timestamp: Text,
}

/// The ids of the agent, the room and the guest of an event.
#[derive(Deserialize)]
pub(crate) struct Ids {
    #[serde(default, rename = "agentId")]
    pub(crate) agent: Text,
    #[serde(default, rename = "roomId")]
    pub(crate) room: Text,
    #[serde(default, rename = "guestId")]
    pub(crate) guest: Text,
}

/// The category and action of an event.
#[derive(Deserialize)]
pub(crate) struct Description {
    /// `["agent"]` or `["conversation"]`.
    #[serde(default)]
    pub(crate) category: Lenient<Vec<Text>>,
    /// `login`, `status_change`, `created`.
    #[serde(default)]
    pub(crate) action: Text,
}
