//! The webhooks API of amoCRM and Kommo (v4), and the log of an account's events.
//!
//! Sources:
//! - <https://www.amocrm.ru/developers/content/crm_platform/webhooks-api>
//! - <https://developers.kommo.com/reference/add-webhooks>
//! - <https://www.amocrm.ru/developers/content/crm_platform/error-codes>

mod entities;
mod log;
mod paging;
mod standing;

use super::{
    Api, ApiRequest, ApiResponse, Notice, WebhookTarget, bearer, blocked, json,
    limiter::{Admission, Limiter},
    response,
};
use axum::http::Method;
use log::Reader;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use entities::{Entities, EntityId, EntityKind};
pub use log::{EventsLog, LogEntry};
pub use standing::InvalidResponses;

const MAX_WEBHOOKS: usize = 100;
const REQUESTS_PER_SECOND: usize = 7;
const JSON: &str = "application/hal+json";
const PROBLEM: &str = "application/problem+json";
/// Settings of the documentation, and those that code in public uses.
const SETTINGS: &str = "responsible_lead responsible_contact responsible_company \
    responsible_customer responsible_task restore_lead restore_contact restore_company add_lead \
    add_contact add_company add_customer add_talk add_task update_lead update_contact \
    update_company update_customer update_talk update_task delete_lead delete_contact \
    delete_company delete_customer delete_task status_lead note_lead note_contact note_company \
    note_customer add_chat_template_review add_message add_outgoing_message add_unsorted \
    update_unsorted delete_unsorted delete_talk";

/// An account with its webhooks.
#[derive(Debug)]
pub struct AmocrmApi {
    /// Id of the account.
    pub account: u64,
    /// The valid token.
    pub token: String,
    /// Whether the token's user is an administrator.
    pub is_admin: bool,
    /// Whether the account is paid for.
    pub is_paid: bool,
    /// How undocumented details look.
    pub look: AmocrmLook,
    /// Whether a POST enables a disabled webhook. It is not documented.
    pub post_enables: bool,
    /// Settings that this account does not accept.
    pub unknown_settings: BTreeSet<String>,
    /// Hosts that are not in DNS, and the number of further requests until they are.
    pub unknown_hosts: BTreeMap<String, usize>,
    /// The webhooks, in the order of their ids.
    pub webhooks: Vec<AmocrmWebhook>,
    /// The entities, whose changes are in the log and in webhooks.
    pub entities: Entities,
    next_id: u64,
    rate: Limiter,
}

/// How details look for which amoCRM, Kommo and code in public differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmocrmLook {
    /// 201 for a new webhook, 204 for an empty list, and the index of an unknown setting.
    Amocrm,
    /// 200 for a new webhook, an empty list, and the name of an unknown setting.
    Kommo,
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct AmocrmWebhook {
    /// Its id.
    pub id: u64,
    /// Its parameters.
    pub wanted: NewAmocrmWebhook,
    /// Time of its creation.
    pub created: Duration,
    /// Time of its last update.
    pub updated: Duration,
    /// Whether amoCRM disabled it.
    pub is_disabled: bool,
    /// Its invalid responses.
    pub invalid_responses: InvalidResponses,
}

/// Parameters of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewAmocrmWebhook {
    /// Its URL, which identifies it.
    pub destination: String,
    /// Kinds of events that it sends.
    pub settings: Vec<String>,
    /// Its position in a list.
    #[serde(default)]
    pub sort: i64,
}

#[derive(Deserialize)]
struct Destination {
    destination: String,
}

impl NewAmocrmWebhook {
    /// A webhook with these settings.
    #[must_use]
    pub fn new(destination: &str, settings: &[&str]) -> Self {
        Self {
            destination: destination.to_owned(),
            settings: settings.iter().map(|code| (*code).to_owned()).collect(),
            sort: 10,
        }
    }

    fn host(&self) -> Option<&str> {
        let (_, rest) = self.destination.split_once("://")?;
        rest.split(['/', '?', ':']).next()
    }
}

impl AmocrmApi {
    /// An account of an administrator, without webhooks.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            account: 30_307_558,
            token: token.to_owned(),
            is_admin: true,
            is_paid: true,
            look: AmocrmLook::Amocrm,
            post_enables: true,
            unknown_settings: BTreeSet::new(),
            unknown_hosts: BTreeMap::new(),
            webhooks: Vec::new(),
            entities: Entities::default(),
            next_id: 839_656,
            rate: Limiter::new(REQUESTS_PER_SECOND, Duration::from_secs(1)),
        }
    }

    /// Adds or updates a webhook, as a person or another integration does. Returns its id.
    pub fn add(&mut self, wanted: NewAmocrmWebhook, now: Duration) -> u64 {
        let mut webhooks = self.webhooks.iter_mut();
        let own = |webhook: &&mut AmocrmWebhook| webhook.wanted.destination == wanted.destination;
        if let Some(webhook) = webhooks.find(own) {
            webhook.wanted = wanted;
            webhook.updated = now;
            if self.post_enables {
                webhook.is_disabled = false;
                webhook.invalid_responses = InvalidResponses::default();
            }
            return webhook.id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.webhooks.push(AmocrmWebhook {
            id,
            wanted,
            created: now,
            updated: now,
            is_disabled: false,
            invalid_responses: InvalidResponses::default(),
        });
        id
    }

    /// Deletes a webhook, as a person does.
    pub fn delete(&mut self, id: u64) {
        self.webhooks.retain(|webhook| webhook.id != id);
    }

    /// What webhooks send about the changes of entities since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        let reports = self.entities.take_reports();
        let notices = reports.iter().map(|report| report.notice(self.account));
        notices.collect()
    }

    /// The webhook with an id.
    ///
    /// # Panics
    /// If there is none.
    pub fn webhook(&mut self, id: u64) -> &mut AmocrmWebhook {
        let mut webhooks = self.webhooks.iter_mut();
        webhooks.find(|webhook| webhook.id == id).unwrap()
    }

    fn route(&mut self, request: &ApiRequest, now: Duration) -> ApiResponse {
        if bearer(request.headers()) != Some(&self.token) {
            return problem(401, "Unauthorized", "Invalid or expired token");
        }
        if !self.is_paid {
            return problem(402, "Payment Required", "The account is not paid");
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/api/v4/account") => self.account(),
            (_, "/api/v4/webhooks") if !self.is_admin => {
                problem(403, "Forbidden", "Not enough rights")
            }
            (&Method::GET, "/api/v4/webhooks") => self.list(request.uri().query()),
            (&Method::POST, "/api/v4/webhooks") => self.subscribe(request.body(), now),
            (&Method::DELETE, "/api/v4/webhooks") => self.unsubscribe(request.body()),
            (&Method::GET, path) => self.read(path, request.uri().query(), now),
            _ => problem(404, "Not Found", "Cannot find resource"),
        }
    }

    /// The log of events, and what its events refer to.
    fn read(&self, path: &str, query: Option<&str>, now: Duration) -> ApiResponse {
        let path = path.strip_prefix("/api/v4/").unwrap_or_default();
        if path == "events" {
            let reader = Reader {
                account: self.account,
                look: self.look,
                has_customers: self.entities.has_customers,
            };
            return self.entities.log.page(reader, query, now);
        }
        if let Some(number) = path.strip_prefix("talks/") {
            return self.entities.talk(self.account, number);
        }
        let plural = path.strip_suffix("/notes");
        let mut kinds = EntityKind::ALL.into_iter();
        match kinds.find(|kind| Some(kind.plural()) == plural) {
            Some(kind) if kind != EntityKind::Task => {
                self.entities.notes(self.account, kind, query)
            }
            _ => problem(404, "Not Found", "Cannot find resource"),
        }
    }

    fn account(&self) -> ApiResponse {
        let account = json!({
            "id": self.account, "name": "example", "subdomain": "example",
            "current_user_id": 581_651, "country": "RU", "is_unsorted_on": true,
            "is_technical_account": false,
            "_links": { "self": { "href": "https://example.amocrm.ru/api/v4/account" } },
        });
        json(200, JSON, &account)
    }

    /// The list, or the webhook that `filter[destination]` names.
    fn list(&self, query: Option<&str>) -> ApiResponse {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let filter: BTreeMap<_, _> = pairs.into_owned().collect();
        let destination = filter.get("filter[destination]");
        let webhooks = self.webhooks.iter().filter(|webhook| {
            destination.is_none_or(|destination| webhook.wanted.destination == *destination)
        });
        let webhooks: Vec<_> = webhooks.map(|webhook| self.item(webhook)).collect();
        if webhooks.is_empty() && self.look == AmocrmLook::Amocrm {
            return response(204, JSON, Vec::new());
        }
        let count = webhooks.len();
        let list = json!({ "_total_items": count, "_embedded": { "webhooks": webhooks } });
        json(200, JSON, &list)
    }

    fn subscribe(&mut self, body: &[u8], now: Duration) -> ApiResponse {
        let Ok(wanted) = serde_json::from_slice::<NewAmocrmWebhook>(body) else {
            return problem(400, "Bad Request", "Request body is invalid");
        };
        let host = wanted.host().unwrap_or_default();
        let left = self.unknown_hosts.get_mut(host);
        if let Some(left) = left.filter(|left| **left > 0) {
            *left -= 1;
            let code = "57c2f299-1154-4870-89bb-ef3b1f5ad229";
            return invalid(400, code, "destination.destination", "Invalid URL");
        }
        let mut settings = wanted.settings.iter();
        if let Some(index) = settings.position(|code| self.is_unknown(code)) {
            return self.refuse_setting(&wanted.settings[index], index);
        }
        let mut webhooks = self.webhooks.iter();
        let is_new = webhooks.all(|webhook| webhook.wanted.destination != wanted.destination);
        if is_new && self.webhooks.len() >= MAX_WEBHOOKS {
            return problem(422, "Unprocessable Entity", "Webhooks limit exceeded");
        }
        let id = self.add(wanted, now);
        let status = match self.look {
            AmocrmLook::Amocrm => 201,
            AmocrmLook::Kommo => 200,
        };
        let webhook = self.webhook(id).clone();
        json(status, JSON, &self.item(&webhook))
    }

    fn is_unknown(&self, code: &str) -> bool {
        let mut settings = SETTINGS.split(' ');
        self.unknown_settings.contains(code) || settings.all(|known| known != code)
    }

    fn refuse_setting(&self, setting: &str, index: usize) -> ApiResponse {
        let code = "NotSupportedChoice";
        match self.look {
            AmocrmLook::Amocrm => {
                let why = "The value you selected is not a valid choice.";
                invalid(400, code, &format!("settings.{index}"), why)
            }
            AmocrmLook::Kommo => {
                let why = format!("The value \"{setting}\" is not a valid choice.");
                invalid(422, code, "settings", &why)
            }
        }
    }

    fn unsubscribe(&mut self, body: &[u8]) -> ApiResponse {
        let Ok(Destination { destination }) = serde_json::from_slice(body) else {
            return problem(400, "Bad Request", "Request body is invalid");
        };
        let count = self.webhooks.len();
        self.webhooks
            .retain(|webhook| webhook.wanted.destination != destination);
        if self.webhooks.len() == count {
            return problem(404, "Not Found", "Webhook is not found");
        }
        response(204, JSON, Vec::new())
    }

    fn item(&self, webhook: &AmocrmWebhook) -> Value {
        json!({
            "id": webhook.id, "destination": webhook.wanted.destination,
            "created_at": webhook.created.as_secs(), "updated_at": webhook.updated.as_secs(),
            "account_id": self.account, "created_by": 581_651, "sort": webhook.wanted.sort,
            "disabled": webhook.is_disabled, "settings": webhook.wanted.settings,
        })
    }
}

impl Api for AmocrmApi {
    fn respond(&mut self, request: &ApiRequest, now: Duration) -> ApiResponse {
        match self.rate.admit(now) {
            Admission::Within(_) => self.route(request, now),
            Admission::Exceeded(_) => problem(429, "Too Many Requests", "Too many requests"),
            Admission::Blocked => blocked(),
        }
    }

    fn targets(&self, kind: &str, _: Duration) -> Vec<WebhookTarget> {
        let alive = self.webhooks.iter().filter(|webhook| {
            let mut settings = webhook.wanted.settings.iter();
            !webhook.is_disabled && settings.any(|code| code == kind)
        });
        let targets = alive.map(|webhook| WebhookTarget {
            webhook: webhook.id,
            url: webhook.wanted.destination.clone(),
            authorization: None,
        });
        targets.collect()
    }

    fn record(&mut self, webhook: u64, status: Option<u16>, now: Duration) {
        let mut webhooks = self.webhooks.iter_mut();
        // It may be deleted while it delivers.
        let Some(found) = webhooks.find(|found| found.id == webhook) else {
            return;
        };
        if !super::is_success(status) {
            found.is_disabled |= found.invalid_responses.record(now);
        }
    }
}

/// An error of a field.
fn invalid(status: u16, code: &str, path: &str, detail: &str) -> ApiResponse {
    let errors = json!([{ "code": code, "path": path, "detail": detail }]);
    let body = json!({
        "validation-errors": [{ "request_id": "0", "errors": errors }],
        "title": "Bad Request", "status": status, "detail": "Request validation failed",
    });
    json(status, PROBLEM, &body)
}

fn problem(status: u16, title: &str, detail: &str) -> ApiResponse {
    let body = json!({
        "title": title, "type": format!("https://httpstatus.es/{status}"), "status": status,
        "detail": detail,
    });
    json(status, PROBLEM, &body)
}
