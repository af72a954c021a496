//! The API of amoCRM and Kommo for webhooks: version 4.
//!
//! Sources: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-api>,
//! <https://developers.kommo.com/reference/webhooks>,
//! <https://www.amocrm.ru/developers/content/crm_platform/error-codes>

pub mod changes;
pub mod walk;

use crate::api::{
    Access, Account, Api, ApiError, Basic, Call, Flag, Limits, Problem, Second, Wanted, Webhook,
    error_of_status, id, object, time,
};
use http::{Method, Request, Response, StatusCode, header::AUTHORIZATION};
use models::json::{Lenient, Text};
use serde::Deserialize;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// The API of amoCRM.
pub const API: Api = Api {
    base_url: |account| format!("https://{account}"),
    limits: Limits {
        // 7 requests a second are allowed.
        pause: Duration::from_millis(200),
        webhooks: 100,
    },
    second: Second::Replaces,
    // The last retry comes 95 minutes after the event.
    horizon: Duration::from_hours(2),
    wanted,
    account,
    list,
    create,
    delete,
    read: walk::read,
    cost: walk::cost,
    refused,
};

/// The documented codes of events.
const DOCUMENTED: [&str; 31] = [
    "add_chat_template_review",
    "add_company",
    "add_contact",
    "add_customer",
    "add_lead",
    "add_talk",
    "add_task",
    "delete_company",
    "delete_contact",
    "delete_customer",
    "delete_lead",
    "delete_task",
    "note_company",
    "note_contact",
    "note_customer",
    "note_lead",
    "responsible_company",
    "responsible_contact",
    "responsible_customer",
    "responsible_lead",
    "responsible_task",
    "restore_company",
    "restore_contact",
    "restore_lead",
    "status_lead",
    "update_company",
    "update_contact",
    "update_customer",
    "update_lead",
    "update_talk",
    "update_task",
];

/// Codes that live integrations use, but that are not documented. An account may refuse them.
const UNDOCUMENTED: [&str; 6] = [
    "add_message",
    "add_outgoing_message",
    "add_unsorted",
    "delete_talk",
    "delete_unsorted",
    "update_unsorted",
];

/// All codes of events in one webhook.
fn wanted(url: String, _: Option<Basic>) -> Wanted {
    let topics = DOCUMENTED.iter().chain(&UNDOCUMENTED);
    Wanted {
        url,
        kind: String::new(),
        topics: topics.map(|&code| code.to_owned()).collect(),
        basic: None,
    }
}

fn account(access: &Access) -> Call<Account> {
    Call {
        request: request(access, Method::GET, "/api/v4/account", None),
        tokens: 0,
        parse: |response| {
            check(response)?;
            let body: AccountBody = object(response)?;
            Ok(Account {
                id: body.id.0.ok_or(ApiError::Malformed("no account"))?,
                domain: body.subdomain.0,
                is_admin: None,
            })
        },
    }
}

fn list(access: &Access) -> Call<Vec<Webhook>> {
    Call {
        request: request(access, Method::GET, "/api/v4/webhooks", None),
        tokens: 0,
        parse: |response| {
            check(response)?;
            if response.status() == StatusCode::NO_CONTENT {
                return Ok(Vec::new());
            }
            let list: List = object(response)?;
            let webhooks = list.embedded.webhooks;
            webhooks.into_iter().map(Webhook::try_from).collect()
        },
    }
}

fn create(access: &Access, wanted: &Wanted) -> Call<Webhook> {
    let body = json!({
        "destination": wanted.url,
        "settings": wanted.topics,
        "sort": 10,
    });
    Call {
        request: request(
            access,
            Method::POST,
            "/api/v4/webhooks",
            Some(body.to_string()),
        ),
        tokens: 0,
        parse: |response| {
            check(response)?;
            object::<Item>(response)?.try_into()
        },
    }
}

fn delete(access: &Access, webhook: &Webhook) -> Call<()> {
    let body = json!({ "destination": webhook.url }).to_string();
    Call {
        request: request(access, Method::DELETE, "/api/v4/webhooks", Some(body)),
        tokens: 0,
        parse: check,
    }
}

fn request(access: &Access, method: Method, path: &str, body: Option<String>) -> Request<Vec<u8>> {
    access.request(method, path, (AUTHORIZATION, "Bearer "), body)
}

/// The codes that a refusal names: by their number in the request (`settings.3`), or in its text.
/// If it refuses the codes without a name: those that are not documented.
fn refused(error: &ApiError, wanted: &Wanted) -> BTreeSet<String> {
    let ApiError::Invalid(problems) = error else {
        return BTreeSet::new();
    };
    let about_codes = problems.iter().filter(|problem| {
        let path = problem.path.as_deref().unwrap_or_default();
        path.split('.').any(|name| name == "settings")
    });
    let mut refused = BTreeSet::new();
    let mut has_unnamed = false;
    for problem in about_codes {
        let named = named(problem, wanted);
        has_unnamed |= named.is_empty();
        refused.extend(named);
    }
    if has_unnamed {
        let undocumented = UNDOCUMENTED.map(str::to_owned).into_iter();
        refused.extend(undocumented.filter(|code| wanted.topics.contains(code)));
    }
    refused
}

fn named(problem: &Problem, wanted: &Wanted) -> Vec<String> {
    let path = problem.path.as_deref().unwrap_or_default();
    let number = path.split('.').find_map(|name| name.parse().ok());
    if let Some(code) = number.and_then(|number| wanted.topics.iter().nth(number)) {
        return vec![code.clone()];
    }
    let reason = problem.reason.as_deref().unwrap_or_default();
    let is_code = |char: char| char.is_ascii_lowercase() || char == '_';
    let words: BTreeSet<&str> = reason.split(|char| !is_code(char)).collect();
    let codes = wanted.topics.iter();
    codes
        .filter(|code| words.contains(&***code))
        .cloned()
        .collect()
}

#[derive(Deserialize)]
struct AccountBody {
    #[serde(default)]
    id: Text,
    #[serde(default)]
    subdomain: Text,
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

#[derive(Deserialize)]
struct Embedded {
    webhooks: Vec<Item>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Item {
    id: Text,
    destination: Text,
    created_at: Text,
    disabled: Flag,
    settings: Lenient<BTreeSet<String>>,
}

impl TryFrom<Item> for Webhook {
    type Error = ApiError;

    fn try_from(item: Item) -> Result<Self, ApiError> {
        let id = id(&item.id).ok_or(ApiError::Malformed("a webhook without an id"))?;
        let url = item.destination.0;
        let topics = item.settings.0;
        Ok(Self {
            id,
            url: url.ok_or(ApiError::Malformed("a webhook without a URL"))?,
            kind: String::new(),
            topics: topics.ok_or(ApiError::Malformed("a webhook without settings"))?,
            user: None,
            name: None,
            dead: (item.disabled.0 == Some(true)).then(|| "disabled".to_owned()),
            created: time(&item.created_at),
            last_delivery: None,
            last_status: None,
        })
    }
}

/// A problem report.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc7807>
#[derive(Deserialize, Default)]
#[serde(default)]
struct ProblemBody {
    #[serde(rename = "validation-errors")]
    validation_errors: Lenient<Vec<Refusal>>,
    detail: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    errors: Lenient<Vec<FieldError>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldError {
    path: Text,
    detail: Text,
}

fn check(response: &Response<Vec<u8>>) -> Result<(), ApiError> {
    if let Some(error) = error_of_status(response) {
        return Err(error);
    }
    if response.status().is_success() {
        return Ok(());
    }
    let body: ProblemBody = object(response).unwrap_or_default();
    let refusals = body.validation_errors.0.unwrap_or_default().into_iter();
    let errors = refusals.flat_map(|refusal| refusal.errors.0.unwrap_or_default());
    let mut problems: Vec<Problem> = errors
        .map(|error| Problem::new(error.path.0, error.detail.0))
        .collect();
    if problems.is_empty() {
        problems.push(Problem::new(None, body.detail.0));
    }
    Err(ApiError::Invalid(problems))
}
