//! Pipedrive's webhooks API (v1), and the lists of a company's objects.
//!
//! Sources:
//! - <https://developers.pipedrive.com/docs/api/v1/Webhooks>
//! - <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>
//! - <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>

mod new_webhook;
pub mod objects;
mod standing;

use super::{
    Api, ApiRequest, ApiResponse, Notice, WebhookTarget, bearer, blocked, header, json,
    limiter::{Admission, Limiter},
};
use crate::request::basic;
use axum::http::Method;
use models::Timestamp;
use objects::lists;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

pub use new_webhook::NewWebhook;
pub use objects::{DealStatus, ObjectId, ObjectKind, Objects};
pub use standing::Standing;

const MAX_WEBHOOKS: usize = 40;
/// Requests of an API token in a window, and tokens of a company in a day, on the smallest plan.
const BURST: usize = 20;
const BURST_WINDOW: Duration = Duration::from_secs(2);
const DAILY_TOKENS: u64 = 30_000;
const DAY: u64 = 86_400;
const JSON: &str = "application/json; charset=utf-8";

/// A company with its webhooks.
#[derive(Debug)]
pub struct PipedriveApi {
    /// Id of the company.
    pub company: u64,
    /// The valid API token.
    pub token: String,
    /// Whether the token's user is an administrator.
    pub is_admin: bool,
    /// Whether the company pays.
    pub is_open: bool,
    /// How undocumented details look.
    pub look: Look,
    /// What becomes of a webhook without success for three days.
    pub removal: Removal,
    /// URLs that fail the check at creation.
    pub unreachable: BTreeSet<String>,
    /// The webhooks, in the order of their ids.
    pub webhooks: Vec<PipedriveWebhook>,
    /// The objects, whose changes the webhooks report.
    pub objects: Objects,
    /// Tokens that were spent on the day of the last request.
    pub spent: u64,
    day: u64,
    next_id: u64,
    burst: Limiter,
}

/// How details look for which the documentation and code in public differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// `"is_active":1`, ISO 8601 times, the password as it is, `"data":[]`.
    Specification,
    /// `"is_active":true`, times with a space, a masked password, `"data":null`.
    Other,
}

/// What becomes of a webhook that had no success for three days. It is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is not listed any more.
    Vanishes,
    /// It is listed, with `"is_active":0` and a `remove_time`.
    StaysInactive,
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct PipedriveWebhook {
    /// Its id.
    pub id: u64,
    /// Its parameters.
    pub wanted: NewWebhook,
    /// Whether it belongs to another user, so that this token cannot delete it.
    pub is_foreign: bool,
    /// Time of its creation.
    pub added: Duration,
    /// Time of its removal, if it is removed and still listed.
    pub removed: Option<Duration>,
    /// Time and status of its last delivery.
    pub last_delivery: Option<(Duration, Option<u16>)>,
    /// Its successes and failures.
    pub standing: Standing,
}

impl PipedriveApi {
    /// A company of an administrator, without webhooks.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            company: 5_155_039,
            token: token.to_owned(),
            is_admin: true,
            is_open: true,
            look: Look::Specification,
            removal: Removal::Vanishes,
            unreachable: BTreeSet::new(),
            webhooks: Vec::new(),
            objects: Objects::default(),
            spent: 0,
            day: 0,
            next_id: 1,
            burst: Limiter::new(BURST, BURST_WINDOW),
        }
    }

    /// Adds a webhook, as a person or another integration does. Returns its id.
    pub fn add(&mut self, wanted: NewWebhook, now: Duration) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.webhooks.push(PipedriveWebhook {
            id,
            wanted,
            is_foreign: false,
            added: now,
            removed: None,
            last_delivery: None,
            standing: Standing::new(now),
        });
        id
    }

    /// Adds a webhook of another user. Returns its id.
    pub fn add_foreign(&mut self, wanted: NewWebhook, now: Duration) -> u64 {
        let id = self.add(wanted, now);
        self.webhook(id).is_foreign = true;
        id
    }

    /// Deletes a webhook, as a person does.
    pub fn delete(&mut self, id: u64) {
        self.webhooks.retain(|webhook| webhook.id != id);
    }

    /// Removes a webhook as Pipedrive does after three days without success.
    pub fn remove(&mut self, id: u64, now: Duration) {
        match self.removal {
            Removal::Vanishes => self.delete(id),
            Removal::StaysInactive => self.webhook(id).removed = Some(now),
        }
    }

    /// What webhooks send about the changes of objects since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        let reports = self.objects.take_reports();
        let notices = reports.iter().map(|report| report.notice(self.company));
        notices.collect()
    }

    /// The webhook with an id.
    ///
    /// # Panics
    /// If there is none.
    pub fn webhook(&mut self, id: u64) -> &mut PipedriveWebhook {
        let mut webhooks = self.webhooks.iter_mut();
        webhooks.find(|webhook| webhook.id == id).unwrap()
    }

    /// Counts a request, and its tokens if it is within the limits.
    fn spend(&mut self, tokens: u64, now: Duration) -> Admission {
        let day = now.as_secs() / DAY;
        if day != self.day {
            self.day = day;
            self.spent = 0;
        }
        match self.burst.admit(now) {
            Admission::Within(left) if self.spent + tokens > DAILY_TOKENS => {
                Admission::Exceeded(left)
            }
            Admission::Within(left) => {
                self.spent += tokens;
                Admission::Within(left)
            }
            refused => refused,
        }
    }

    fn route(&mut self, request: &ApiRequest, now: Duration) -> ApiResponse {
        let headers = request.headers();
        let token = bearer(headers).unwrap_or_else(|| header(headers, "x-api-token"));
        if token != self.token {
            return error(401, "unauthorized access", Some(401));
        }
        if !self.is_open {
            return error(402, "Company account is not open", Some(402));
        }
        if let (&Method::GET, Some(list)) = (request.method(), lists::find(path(request))) {
            let page = self.objects.page(list, request.uri().query(), now);
            return page.map_or_else(
                |name| error(400, &format!("Invalid {name}"), None),
                |page| json(200, JSON, &page.body(self.look)),
            );
        }
        match (request.method(), path(request)) {
            (&Method::GET, "/v1/users/me") => self.me(),
            (&Method::GET, "/v1/webhooks") => self.list(),
            (&Method::POST, "/v1/webhooks") => self.create(request.body(), now),
            (&Method::DELETE, path) if path.starts_with("/v1/webhooks/") => self.destroy(path),
            _ => error(404, "Unknown method .", None),
        }
    }

    fn me(&self) -> ApiResponse {
        let access = ["sales", "global", "account_settings"];
        let access = access.map(|app| json!({ "app": app, "admin": self.is_admin }));
        let me = json!({
            "id": 8_067_149, "name": "Me", "email": "me@example.com", "activated": true,
            "access": access, "active_flag": true, "is_admin": u8::from(self.is_admin),
            "is_deleted": false, "company_id": self.company, "company_name": "Example",
            "company_domain": "example",
        });
        json(200, JSON, &json!({ "success": true, "data": me }))
    }

    fn list(&self) -> ApiResponse {
        let webhooks = self.webhooks.iter().map(|webhook| self.item(webhook));
        let webhooks: Vec<_> = webhooks.collect();
        let data = match self.look {
            Look::Other if webhooks.is_empty() => Value::Null,
            _ => webhooks.into(),
        };
        ok(200, &data)
    }

    fn create(&mut self, body: &[u8], now: Duration) -> ApiResponse {
        let wanted: NewWebhook = match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(why) => return error(400, &why.to_string(), None),
        };
        if let Some(field) = wanted.invalid().first() {
            return invalid(400, field, "is invalid");
        }
        if self.unreachable.contains(&wanted.subscription_url) {
            return invalid(400, "subscription_url", "invalid or non-reachable URL");
        }
        let own = self.webhooks.iter().filter(|webhook| !webhook.is_foreign);
        if own.count() >= MAX_WEBHOOKS {
            return invalid(422, "webhooks", "limit reached");
        }
        let id = self.add(wanted, now);
        let created = self.webhook(id).clone();
        ok(201, &self.item(&created))
    }

    fn destroy(&mut self, path: &str) -> ApiResponse {
        let id = path.rsplit('/').next().and_then(|id| id.parse().ok());
        let found = self.webhooks.iter().find(|webhook| Some(webhook.id) == id);
        match found {
            None => invalid(404, "id", "not found"),
            Some(webhook) if webhook.is_foreign => {
                let body = json!({ "success": false, "message": "Forbidden" });
                json(403, JSON, &body)
            }
            Some(webhook) => {
                self.delete(webhook.id);
                json(200, JSON, &json!({ "status": "ok", "success": true }))
            }
        }
    }

    fn item(&self, webhook: &PipedriveWebhook) -> Value {
        let wanted = &webhook.wanted;
        let is_active = webhook.removed.is_none();
        let (is_active, password) = match self.look {
            Look::Specification => (json!(u8::from(is_active)), json!(wanted.http_auth_password)),
            Look::Other => {
                let masked = wanted.http_auth_password.as_ref().map(|_| "********");
                (json!(is_active), json!(masked))
            }
        };
        let last_delivery = webhook.last_delivery;
        json!({
            "id": webhook.id, "company_id": self.company, "owner_id": 8_067_149,
            "user_id": 8_067_149, "event_action": wanted.event_action,
            "event_object": wanted.event_object, "subscription_url": wanted.subscription_url,
            "version": wanted.version, "is_active": is_active,
            "add_time": self.time(webhook.added),
            "remove_time": webhook.removed.map(|time| self.time(time)),
            "type": "general", "http_auth_user": wanted.http_auth_user,
            "http_auth_password": password,
            "remove_reason": webhook.removed.map(|_| "no successful delivery"),
            "last_delivery_time": last_delivery.map(|(time, _)| self.time(time)),
            "last_http_status": last_delivery.and_then(|(_, status)| status),
            "admin_id": 8_067_149, "name": wanted.name,
        })
    }

    fn time(&self, time: Duration) -> String {
        let text = Timestamp::from_unix(time).to_string();
        match self.look {
            Look::Specification => format!("{}Z", &text[..23]),
            Look::Other => text[..19].replace('T', " "),
        }
    }
}

impl Api for PipedriveApi {
    fn respond(&mut self, request: &ApiRequest, now: Duration) -> ApiResponse {
        let (mut response, left) = match self.spend(cost(request), now) {
            Admission::Within(left) => (self.route(request, now), left),
            Admission::Exceeded(left) => (error(429, "Request over limit", Some(429)), left),
            Admission::Blocked => return blocked(),
        };
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", BURST.into());
        headers.insert("x-ratelimit-remaining", left.into());
        headers.insert("x-ratelimit-reset", BURST_WINDOW.as_secs().into());
        response
    }

    fn targets(&self, kind: &str, now: Duration) -> Vec<WebhookTarget> {
        let alive = self.webhooks.iter().filter(|webhook| {
            let is_silent = webhook.removed.is_some() || webhook.standing.is_banned(now);
            !is_silent && webhook.wanted.matches(kind)
        });
        let targets = alive.map(|webhook| {
            let wanted = &webhook.wanted;
            let user = wanted.http_auth_user.as_ref();
            let credentials = user.zip(wanted.http_auth_password.as_ref());
            WebhookTarget {
                webhook: webhook.id,
                url: wanted.subscription_url.clone(),
                authorization: credentials
                    .map(|(user, password)| basic(&format!("{user}:{password}"))),
            }
        });
        targets.collect()
    }

    fn record(&mut self, webhook: u64, status: Option<u16>, now: Duration) {
        let mut webhooks = self.webhooks.iter_mut();
        // It may be deleted while it delivers.
        let Some(found) = webhooks.find(|found| found.id == webhook) else {
            return;
        };
        found.last_delivery = Some((now, status));
        found.standing.record(1, super::is_success(status), now);
        if found.standing.is_removed() {
            self.remove(webhook, now);
        }
    }
}

/// The path without the prefix that it has on a company's own host.
fn path(request: &ApiRequest) -> &str {
    let path = request.uri().path();
    path.strip_prefix("/api").unwrap_or(path)
}

/// What a request costs, in tokens.
fn cost(request: &ApiRequest) -> u64 {
    if let Some(list) = lists::find(path(request)) {
        return list.tokens;
    }
    match (request.method(), path(request)) {
        (_, "/v1/users/me") => 2,
        (&Method::DELETE, _) => 6,
        _ => 10,
    }
}

fn ok(status: u16, data: &Value) -> ApiResponse {
    let body = json!({ "status": "ok", "success": true, "data": data });
    json(status, JSON, &body)
}

/// The error of a field.
fn invalid(status: u16, field: &str, why: &str) -> ApiResponse {
    let body = json!({ "status": "error", "success": false, "errors": { field: [why] } });
    json(status, JSON, &body)
}

/// An error with a code, or the general one.
fn error(status: u16, text: &str, code: Option<u16>) -> ApiResponse {
    let body = match code {
        Some(code) => json!({ "success": false, "error": text, "errorCode": code }),
        None => json!({
            "success": false, "error": text, "data": null, "additional_data": null,
            "error_info": "Please check developers.pipedrive.com for more information about Pipedrive API.",
        }),
    };
    json(status, JSON, &body)
}
