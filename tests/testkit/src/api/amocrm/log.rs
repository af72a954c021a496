//! The log of events of an account.
//!
//! - The id of an event is a ULID, whose first part is the millisecond of the event. `created_at`
//!   is the second.
//! - The newest event is first, and pages have no cursor. Both ends of a span are included.
//! - Messages are filtered as those of a contact, and shown as those of a lead.
//! - An event may appear in the log later than it happened.
//! - Kommo refuses customers, and shows only leads without a filter.
//!
//! Sources:
//! - <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>
//! - <https://github.com/ulid/spec>

use super::{
    AmocrmLook, EntityId, EntityKind, invalid,
    paging::{HOST, Paging, Parameters},
};
use crate::api::ApiResponse;
use fastrand::Rng;
use serde_json::{Value, json};
use std::{cmp::Reverse, time::Duration};

const MAX_EVENTS: usize = 100;
const MESSAGES: [&str; 2] = ["incoming_chat_message", "outgoing_chat_message"];
/// The documented types of events. Those of custom fields have the number of the field.
const TYPES: &str = "lead_added lead_deleted lead_restored lead_status_changed lead_linked \
    lead_unlinked contact_added contact_deleted contact_restored contact_linked contact_unlinked \
    company_added company_deleted company_restored company_linked company_unlinked customer_added \
    customer_deleted customer_status_changed customer_linked customer_unlinked task_added \
    task_deleted task_completed task_type_changed task_text_changed task_deadline_changed \
    task_result_added incoming_chat_message outgoing_chat_message entity_direct_message \
    incoming_call outgoing_call incoming_sms outgoing_sms entity_tag_added entity_tag_deleted \
    entity_linked entity_unlinked sale_field_changed name_field_changed ltv_field_changed \
    custom_field_value_changed entity_responsible_changed robot_replied intent_identified \
    nps_rate_added link_followed transaction_added common_note_added common_note_deleted \
    attachment_note_added targeting_in_note_added targeting_out_note_added geo_note_added \
    service_note_added site_visit_note_added message_to_cashier_note_added key_action_completed \
    entity_merged";

/// The log of events of an account.
#[derive(Debug)]
pub struct EventsLog {
    /// How long each further event takes to appear.
    pub delay: Duration,
    /// Maximum number of events of a page, whatever limit a request has.
    pub events_per_page: usize,
    events: Vec<Logged>,
    random: Rng,
}

/// What an event of the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// amoCRM's word for it: `lead_added`.
    pub r#type: String,
    /// Its entity.
    pub entity: EntityId,
    /// A list of the values after it.
    pub value_after: Value,
    /// A list of the values before it.
    pub value_before: Value,
}

#[derive(Debug)]
struct Logged {
    id: String,
    at: Duration,
    appears: Duration,
    entry: LogEntry,
}

/// The account whose log is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) account: u64,
    pub(super) look: AmocrmLook,
    pub(super) has_customers: bool,
}

impl Default for EventsLog {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            events_per_page: MAX_EVENTS,
            events: Vec::new(),
            random: Rng::with_seed(1),
        }
    }
}

impl EventsLog {
    /// Adds an event. Returns its id.
    pub fn log(&mut self, entry: LogEntry, now: Duration) -> String {
        let id = ulid(now, &mut self.random);
        self.events.push(Logged {
            id: id.clone(),
            at: now,
            appears: now + self.delay,
            entry,
        });
        id
    }

    /// Hides an event, as from a user who lost the right to see it.
    pub fn hide(&mut self, id: &str) {
        self.events.retain(|event| event.id != id);
    }

    /// Shows the messages about an entity as those of another one.
    pub(super) fn reassign_messages(&mut self, from: EntityId, to: EntityId) {
        for event in &mut self.events {
            if event.entry.is_message() && event.entry.entity == from {
                event.entry.entity = to;
            }
        }
    }

    /// `GET /api/v4/events`
    pub(super) fn page(&self, reader: Reader, query: Option<&str>, now: Duration) -> ApiResponse {
        let parameters = Parameters::new(query);
        let wanted = match Wanted::new(&parameters, reader) {
            Ok(wanted) => wanted,
            Err(path) => {
                let why = "The value you selected is not a valid choice.";
                return invalid(400, "NotSupportedChoice", path, why);
            }
        };
        let events = self.events.iter();
        let events = events.filter(|event| event.appears <= now && wanted.has(event));
        let mut events: Vec<&Logged> = events.collect();
        events.sort_by_key(|event| Reverse(&event.id));
        let paging = Paging::new(&parameters, self.events_per_page);
        paging.page("events", "events", &events, |event| {
            event.item(reader.account)
        })
    }
}

/// What a request asks for.
struct Wanted<'a> {
    from: u64,
    to: u64,
    /// All kinds if it is empty.
    entities: Vec<&'a str>,
    /// All types if it is empty.
    types: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Reads the parameters of a request. An error is the name of the one that is invalid.
    fn new(parameters: &'a Parameters, reader: Reader) -> Result<Self, &'static str> {
        let mut entities = parameters.all("filter[entity]");
        if !entities.iter().all(|entity| reader.knows(entity)) {
            return Err("filter.entity");
        }
        if entities.is_empty() && reader.look == AmocrmLook::Kommo {
            entities.push(EntityKind::Lead.name());
        }
        let types = parameters.all("filter[type]");
        if !types.iter().all(|word| is_type(word)) {
            return Err("filter.type");
        }
        let second = parameters.number("filter[created_at]");
        let edge = |name: &str| second.or(parameters.number(name));
        Ok(Self {
            from: edge("filter[created_at][from]").unwrap_or_default(),
            to: edge("filter[created_at][to]").unwrap_or(u64::MAX),
            entities,
            types,
        })
    }

    fn has(&self, event: &Logged) -> bool {
        let entry = &event.entry;
        let kind = if entry.is_message() {
            EntityKind::Contact
        } else {
            entry.entity.kind
        };
        (self.from..=self.to).contains(&event.at.as_secs())
            && (self.entities.is_empty() || self.entities.contains(&kind.name()))
            && (self.types.is_empty() || self.types.contains(&&*entry.r#type))
    }
}

impl Reader {
    fn knows(self, entity: &str) -> bool {
        let has_customers = self.has_customers && self.look == AmocrmLook::Amocrm;
        let mut kinds = EntityKind::ALL.into_iter();
        kinds.any(|kind| kind.name() == entity && (kind != EntityKind::Customer || has_customers))
    }
}

fn is_type(word: &str) -> bool {
    let mut types = TYPES.split(' ');
    let field = word.strip_prefix("custom_field_");
    let field = field.and_then(|rest| rest.strip_suffix("_value_changed"));
    let is_field = field.is_some_and(|field| field.parse::<u64>().is_ok());
    is_field || types.any(|known| known == word)
}

impl LogEntry {
    fn is_message(&self) -> bool {
        MESSAGES.contains(&&*self.r#type)
    }
}

impl Logged {
    fn item(&self, account: u64) -> Value {
        let LogEntry {
            r#type,
            entity,
            value_after,
            value_before,
        } = &self.entry;
        let path = format!("{}/{}", entity.kind.plural(), entity.number);
        let link = |path: &str| json!({ "self": { "href": format!("{HOST}/api/v4/{path}") } });
        json!({
            "id": self.id, "type": r#type, "entity_id": entity.number,
            "entity_type": entity.kind.name(), "created_by": 939_801,
            "created_at": self.at.as_secs(), "value_after": value_after,
            "value_before": value_before, "account_id": account,
            "_links": link(&format!("events/{}", self.id)),
            "_embedded": { "entity": { "id": entity.number, "_links": link(&path) } },
        })
    }
}

/// A ULID in lower case: 48 bits of milliseconds and 80 bits of noise.
fn ulid(at: Duration, random: &mut Rng) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let noise = random.u128(..) >> 48;
    let value = (at.as_millis() << 80) | noise;
    let digits = (0..26)
        .rev()
        .map(|index| DIGITS[(value >> (5 * index)) as usize % 32]);
    digits.map(char::from).collect()
}
