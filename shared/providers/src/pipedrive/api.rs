//! Pipedrive's API for webhooks: version 1, the only one that has them.
//!
//! Sources: <https://developers.pipedrive.com/docs/api/v1/Webhooks>,
//! <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>,
//! <https://pipedrive.readme.io/docs/core-api-concepts-http-status-codes>

pub mod changes;
mod state;
pub mod walk;

use crate::api::{
    Access, Account, Api, ApiError, Basic, Call, Flag, Limits, Problem, Second, Wanted, Webhook,
    error_of_status, id, object, seconds, time,
};
use http::{HeaderName, Method, Request, Response, StatusCode};
use models::json::{Lenient, Text};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const API_TOKEN: HeaderName = HeaderName::from_static("x-api-token");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Pipedrive's API.
pub const API: Api = Api {
    base_url: |_| "https://api.pipedrive.com".to_owned(),
    limits: Limits {
        // The smallest plan allows 20 requests in 2 s.
        pause: Duration::from_millis(100),
        webhooks: 40,
    },
    second: Second::Adds,
    // The last retry comes 3 minutes after the event.
    horizon: Duration::from_mins(5),
    wanted,
    account,
    list,
    create,
    delete,
    read: walk::read,
    cost: walk::cost,
    refused: |_, _| BTreeSet::new(),
};

/// One webhook for everything. It needs one of 40 slots, and objects that Pipedrive adds later are
/// included.
fn wanted(url: String, basic: Option<Basic>) -> Wanted {
    Wanted {
        url,
        kind: kind("*", "*", "2.0"),
        topics: BTreeSet::new(),
        basic,
    }
}

fn kind(action: &str, object: &str, version: &str) -> String {
    format!("{action}.{object} {version}")
}

fn account(access: &Access) -> Call<Account> {
    Call {
        request: request(access, Method::GET, "/v1/users/me", None),
        tokens: 2,
        parse: |response| {
            let user: User = data(response)?.ok_or(ApiError::Malformed("no user"))?;
            let id = user.company_id.0.ok_or(ApiError::Malformed("no company"))?;
            let apps = user.access.0.unwrap_or_default();
            let is_admin = apps.iter().any(App::makes_admin);
            Ok(Account {
                id,
                domain: user.company_domain.0,
                is_admin: Some(is_admin || user.is_admin.0 == Some(true)),
            })
        },
    }
}

fn list(access: &Access) -> Call<Vec<Webhook>> {
    Call {
        request: request(access, Method::GET, "/v1/webhooks", None),
        tokens: 10,
        parse: |response| {
            // Version 1 writes an empty list as null.
            let items: Vec<Item> = data(response)?.unwrap_or_default();
            items.into_iter().map(Webhook::try_from).collect()
        },
    }
}

fn create(access: &Access, wanted: &Wanted) -> Call<Webhook> {
    let (event, version) = wanted.kind.split_once(' ').unwrap_or_default();
    let (action, object) = event.split_once('.').unwrap_or_default();
    let basic = wanted.basic.as_ref();
    let body = NewWebhook {
        subscription_url: &wanted.url,
        event_action: action,
        event_object: object,
        name: "Hookkeeper",
        version,
        http_auth_user: basic.map(|basic| &*basic.user),
        http_auth_password: basic.map(|basic| &*basic.password),
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    Call {
        request: request(access, Method::POST, "/v1/webhooks", Some(body)),
        tokens: 10,
        parse: |response| {
            let item: Option<Item> = data(response).map_err(|error| match error {
                ApiError::Invalid(problems)
                    if response.status() == StatusCode::UNPROCESSABLE_ENTITY
                        && !problems.iter().any(is_about_member) =>
                {
                    ApiError::Limit
                }
                error => error,
            })?;
            item.ok_or(ApiError::Malformed("no webhook"))?.try_into()
        },
    }
}

/// Whether a problem is about a member of the request.
fn is_about_member(problem: &Problem) -> bool {
    let path = problem.path.as_deref().unwrap_or_default();
    let prefixes = [
        "subscription_",
        "event_",
        "http_auth_",
        "name",
        "user_id",
        "version",
    ];
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

fn delete(access: &Access, webhook: &Webhook) -> Call<()> {
    let path = format!("/v1/webhooks/{}", webhook.id);
    Call {
        request: request(access, Method::DELETE, &path, None),
        tokens: 6,
        parse: |response| envelope(response).map(drop),
    }
}

fn request(access: &Access, method: Method, path: &str, body: Option<String>) -> Request<Vec<u8>> {
    access.request(method, path, (API_TOKEN, ""), body)
}

/// The body of a request for a webhook.
#[derive(Serialize)]
struct NewWebhook<'a> {
    subscription_url: &'a str,
    event_action: &'a str,
    event_object: &'a str,
    name: &'a str,
    /// Always sent: the default has changed before.
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_auth_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_auth_password: Option<&'a str>,
}

/// The envelope of a success.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    success: Flag,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    company_id: Text,
    #[serde(default)]
    company_domain: Text,
    #[serde(default)]
    access: Lenient<Vec<App>>,
    #[serde(default)]
    is_admin: Flag,
}

#[derive(Deserialize)]
struct App {
    #[serde(default)]
    app: Text,
    #[serde(default)]
    admin: Flag,
}

impl App {
    /// Whether its administrator sees every deal. That of `account_settings` alone does not.
    fn makes_admin(&self) -> bool {
        matches!(self.app.get(), Some("sales" | "global")) && self.admin.0 == Some(true)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Item {
    id: Text,
    event_action: Text,
    event_object: Text,
    subscription_url: Text,
    version: Text,
    is_active: Flag,
    add_time: Text,
    remove_time: Text,
    http_auth_user: Shown,
    last_delivery_time: Text,
    last_http_status: Text,
    name: Text,
}

/// A member that a list may leave out or mask.
#[derive(Default)]
struct Shown(Option<String>);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?.0.unwrap_or_default();
        let is_masked = !text.is_empty() && text.chars().all(|char| char == '*');
        Ok(Self(Some(text).filter(|_| !is_masked)))
    }
}

impl TryFrom<Item> for Webhook {
    type Error = ApiError;

    fn try_from(item: Item) -> Result<Self, ApiError> {
        let id = id(&item.id).ok_or(ApiError::Malformed("a webhook without an id"))?;
        let url = item.subscription_url.0;
        let text = |text: &Text| text.get().unwrap_or_default().to_owned();
        let status = item.last_http_status.get();
        Ok(Self {
            id,
            url: url.ok_or(ApiError::Malformed("a webhook without a URL"))?,
            kind: kind(
                &text(&item.event_action),
                &text(&item.event_object),
                &text(&item.version),
            ),
            topics: BTreeSet::new(),
            user: item.http_auth_user.0,
            name: item.name.0,
            dead: match (item.remove_time.get(), item.is_active.0) {
                (Some(_), _) => Some("removed".to_owned()),
                (None, Some(false)) => Some("inactive".to_owned()),
                (None, _) => None,
            },
            created: time(&item.add_time),
            last_delivery: time(&item.last_delivery_time),
            last_status: status.and_then(|status| status.parse().ok()),
        })
    }
}

/// The `data` of a success. `None`: it is null or absent.
fn data<T: DeserializeOwned>(response: &Response<Vec<u8>>) -> Result<Option<T>, ApiError> {
    let data = envelope(response)?.data;
    let data = data.map(|data| serde_json::from_str(data.get()));
    let data: Option<Option<T>> = data
        .transpose()
        .map_err(|_| ApiError::Malformed("`data` of another shape"))?;
    Ok(data.flatten())
}

fn envelope(response: &Response<Vec<u8>>) -> Result<Envelope, ApiError> {
    if let Some(error) = error_of_status(response) {
        return Err(with_reset(error, response));
    }
    if !response.status().is_success() {
        return Err(ApiError::Invalid(problems(response)));
    }
    let envelope: Envelope = object(response)?;
    match envelope.success.0 {
        Some(true) => Ok(envelope),
        _ => Err(ApiError::Malformed("`success` is not true")),
    }
}

/// If requests of the window remain, it is the daily budget that is used up.
fn with_reset(error: ApiError, response: &Response<Vec<u8>>) -> ApiError {
    match error {
        ApiError::RateLimited { wait: None }
            if response.status() == StatusCode::TOO_MANY_REQUESTS
                && seconds(response, &REMAINING).is_none_or(|left| left.is_zero()) =>
        {
            ApiError::RateLimited {
                wait: seconds(response, &RESET),
            }
        }
        error => error,
    }
}

/// The documented bodies of an error: `errors` by member, or a text in `error` or `message`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    errors: Lenient<BTreeMap<String, Lenient<Vec<String>>>>,
    error: Text,
    message: Text,
}

fn problems(response: &Response<Vec<u8>>) -> Vec<Problem> {
    let body: ErrorBody = object(response).unwrap_or_default();
    let errors = body.errors.0.unwrap_or_default().into_iter();
    let mut problems: Vec<Problem> = errors
        .map(|(path, reasons)| Problem::new(Some(path), reasons.0.map(|said| said.join(", "))))
        .collect();
    if let Some(reason) = body.error.0.or(body.message.0) {
        problems.push(Problem::new(None, Some(reason)));
    }
    problems
}
