//! The API by which a provider's webhooks are managed: requests and responses as values, without
//! I/O. Whoever has an HTTP client sends a [`Call`] and lets it parse the response.
//!
//! Only a well-formed success is a value. Everything else is an [`ApiError`], and nobody may act on
//! it as if it were an empty list.

pub mod change;

use change::{Cost, Extent, Reader, Window};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, RETRY_AFTER},
    uri::InvalidUri,
};
use models::{
    OwnTime, Timestamp,
    json::{self, Text},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt, time::Duration};

/// The API of a provider, as a value.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// The base URL of an account's API, for requests without a URL from the user.
    pub base_url: fn(&str) -> String,
    /// What the provider allows.
    pub limits: Limits,
    /// The effect of a second webhook with the same URL.
    pub second: Second,
    /// How long after an event its last retry may arrive, with a margin.
    pub horizon: Duration,
    /// The webhook that Hookkeeper wants, with this URL and this credential.
    pub wanted: fn(String, Option<Basic>) -> Wanted,
    /// Reads the account and the user of the token.
    pub account: fn(&Access) -> Call<Account>,
    /// Lists the webhooks of the account, or those that the token may see.
    pub list: fn(&Access) -> Call<Vec<Webhook>>,
    /// Creates a webhook.
    pub create: fn(&Access, &Wanted) -> Call<Webhook>,
    /// Deletes a webhook.
    pub delete: fn(&Access, &Webhook) -> Call<()>,
    /// Begins to read what changed in a window.
    pub read: fn(Window, Extent) -> Box<dyn Reader>,
    /// What it costs to read all changes of a window.
    pub cost: fn(Window) -> Cost,
    /// Those of the wanted topics to which an account refuses to subscribe, by its response.
    pub refused: fn(&ApiError, &Wanted) -> BTreeSet<String>,
}

/// The limits of a provider's API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time between two requests of ours.
    pub pause: Duration,
    /// Maximum number of webhooks.
    pub webhooks: usize,
}

/// The effect of creating a webhook with the URL of an existing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// There are two webhooks, and each event is delivered twice.
    Adds,
    /// The existing one gets the new topics.
    Replaces,
}

/// The URL and the token of an API.
#[derive(Clone)]
pub struct Access {
    base: String,
    token: String,
}

/// Why an API cannot be used. Contains neither URL nor token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The URL cannot be used in a request.
    #[error("the URL of the API is not an absolute http or https URL")]
    Url,
    /// The token has characters that a header must not have.
    #[error("the API token has characters that an HTTP header cannot carry")]
    Token,
    /// The provider sends a user name and a password, and there is none.
    #[error("the webhook has no user name and password")]
    Credential,
}

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A request, and how its response is parsed.
pub struct Call<T> {
    /// The request.
    pub request: Request<Vec<u8>>,
    /// How many tokens of the account's daily budget it costs.
    pub tokens: u32,
    /// Parses the response.
    pub parse: fn(&Response<Vec<u8>>) -> Result<T, ApiError>,
}

impl<T> Call<T> {
    /// The same request, whose response is parsed later.
    pub(crate) fn unparsed(self) -> Call<Response<Vec<u8>>> {
        Call {
            request: self.request,
            tokens: self.tokens,
            parse: |response| Ok(response.clone()),
        }
    }
}

/// The account that a token belongs to, and the token's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id, as in the `source` of its events: `<provider>/<id>`.
    pub id: String,
    /// Its name in the URLs of the provider.
    pub domain: Option<String>,
    /// Whether the user is an administrator, whose webhooks see every event. `None`: not known.
    pub is_admin: Option<bool>,
}

/// The webhook that is wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The URL to which the provider sends events.
    pub url: String,
    /// See [`Webhook::kind`].
    pub kind: String,
    /// See [`Webhook::topics`].
    pub topics: BTreeSet<String>,
    /// The credential, if the provider sends one outside of the URL.
    pub basic: Option<Basic>,
}

/// A webhook in a provider's list.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: u64,
    /// The URL to which the provider sends events. It may contain a key.
    pub url: String,
    /// What distinguishes webhooks with the same URL: `*.* 2.0` (action, object, version) for
    /// Pipedrive. Empty for amoCRM, where the URL alone does.
    pub kind: String,
    /// The codes it is subscribed to, where the provider has such codes.
    pub topics: BTreeSet<String>,
    /// The user name of its credential. Empty: none. `None`: the list does not show it.
    pub user: Option<String>,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Why it is dead. `None`: it is alive.
    pub dead: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last delivered an event.
    pub last_delivery: Option<Timestamp>,
    /// The status of the last response.
    pub last_status: Option<u16>,
}

/// Why a call has no value. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 401: the token is not accepted.
    #[error("the API does not accept the token (401)")]
    Unauthorized,
    /// 403: the user of the token may not do this.
    #[error("the token's user is not allowed to do this (403)")]
    Forbidden,
    /// 402: the account is not paid for.
    #[error("the account is not paid for (402)")]
    Unpaid,
    /// 404.
    #[error("not found (404)")]
    NotFound,
    /// 429, or 403 as HTML by which a firewall enforces the limit.
    #[error("the API's rate limit is reached")]
    RateLimited {
        /// How long to wait, if it is short.
        wait: Option<Duration>,
    },
    /// The account has as many webhooks as it may have.
    #[error("the account cannot have more webhooks")]
    Limit,
    /// 400 or 422: the request is refused.
    #[error("the API refuses the request{}", said(.0))]
    Invalid(Vec<Problem>),
    /// A response that is none of the documented ones.
    #[error("the API's response cannot be read: {0}")]
    Malformed(&'static str),
    /// 5xx.
    #[error("the API is not available ({0})")]
    Unavailable(u16),
    /// No complete response.
    #[error("no response from the API: {0}")]
    NoResponse(String),
}

/// A part of a request that the API refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The member of the request, if it is named.
    pub path: Option<String>,
    /// The reason, in the words of the provider. Without a URL, since that may contain a key.
    pub reason: Option<String>,
}

impl Access {
    /// Creates an access.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn new(base_url: &str, token: &str) -> Result<Self, AccessError> {
        let uri: Result<Uri, InvalidUri> = base_url.parse();
        let uri = uri.map_err(|_| AccessError::Url)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.query().is_some() {
            return Err(AccessError::Url);
        }
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessError::Token);
        }
        Ok(Self {
            base: base_url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// Builds a request with the token in a header, after `prefix`.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        (header, prefix): (HeaderName, &str),
        body: Option<String>,
    ) -> Request<Vec<u8>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Ok(mut token) = HeaderValue::try_from(format!("{prefix}{}", self.token)) {
            token.set_sensitive(true);
            request = request.header(header, token);
        }
        // `new` has checked both texts.
        let request = request.body(body.unwrap_or_default().into_bytes());
        request.unwrap_or_default()
    }
}

impl Wanted {
    /// The same without some topics, such as those that an account refuses.
    #[must_use]
    pub fn without(mut self, topics: &BTreeSet<String>) -> Self {
        self.topics.retain(|topic| !topics.contains(topic));
        self
    }

    /// Whether a webhook has the wanted kind, topics and user, as far as the list shows them.
    #[must_use]
    pub fn is_met_by(&self, webhook: &Webhook) -> bool {
        let user = self.basic.as_ref().map_or("", |basic| &basic.user);
        let has_user = webhook.user.as_deref().is_none_or(|shown| shown == user);
        webhook.url == self.url
            && webhook.kind == self.kind
            && webhook.topics.is_superset(&self.topics)
            && has_user
    }
}

impl Problem {
    pub(crate) fn new(path: Option<String>, reason: Option<String>) -> Self {
        let reason = reason.filter(|reason| !reason.contains("://") && !reason.contains("key="));
        Self { path, reason }
    }
}

fn said(problems: &[Problem]) -> String {
    let said = problems.iter().map(|problem| {
        let path = problem.path.as_deref().unwrap_or("?");
        let reason = problem.reason.as_deref().unwrap_or("no reason");
        format!(": {path}: {reason}")
    });
    said.collect()
}

/// Maps a status to the error that it has in every API. `None` for a success, 400 and 422, which
/// each provider has its own bodies for.
pub(crate) fn error_of_status(response: &Response<Vec<u8>>) -> Option<ApiError> {
    Some(match response.status() {
        status if status.is_success() => return None,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => return None,
        StatusCode::UNAUTHORIZED => ApiError::Unauthorized,
        StatusCode::PAYMENT_REQUIRED => ApiError::Unpaid,
        StatusCode::FORBIDDEN if is_json(response) => ApiError::Forbidden,
        StatusCode::FORBIDDEN => ApiError::RateLimited { wait: None },
        StatusCode::NOT_FOUND => ApiError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => ApiError::RateLimited {
            wait: seconds(response, &RETRY_AFTER),
        },
        status if status.is_server_error() => ApiError::Unavailable(status.as_u16()),
        _ => ApiError::Malformed("an unexpected status"),
    })
}

/// Whether a body is a JSON object, whatever its content type says.
fn is_json(response: &Response<Vec<u8>>) -> bool {
    json::check(response.body()).is_ok_and(|body| body.get().starts_with('{'))
}

/// A header that has a number of seconds.
pub(crate) fn seconds(response: &Response<Vec<u8>>, name: &HeaderName) -> Option<Duration> {
    let value = response.headers().get(name)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

/// Parses a body that is a JSON object.
pub(crate) fn object<T: DeserializeOwned>(response: &Response<Vec<u8>>) -> Result<T, ApiError> {
    let raw = json::check(response.body()).map_err(|_| ApiError::Malformed("not JSON"))?;
    let is_object = raw.get().starts_with('{');
    let object = serde_json::from_str(raw.get()).ok().filter(|_| is_object);
    object.ok_or(ApiError::Malformed("JSON of another shape"))
}

/// A flag that is written as `true`, `1` or `"1"`. `None` if it is absent or something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match raw.trim_matches('"') {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }))
    }
}

/// Parses an id: a number, or its digits as a string.
pub(crate) fn id(text: &Text) -> Option<u64> {
    text.get()?.parse().ok()
}

/// Parses a time in any of the formats that were seen: RFC 3339, seconds since 1970, or
/// `2024-01-16 09:12:45` in UTC.
pub(crate) fn time(text: &Text) -> Option<Timestamp> {
    let text = text.get()?;
    let in_utc = format!("{}Z", text.replacen(' ', "T", 1));
    match OwnTime::first([Some(text), Some(&in_utc)]) {
        OwnTime::Given(time) => Some(time),
        OwnTime::Missing | OwnTime::OutOfRange => None,
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").finish_non_exhaustive()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").finish_non_exhaustive()
    }
}

/// Without the URL, which may contain a key.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}
