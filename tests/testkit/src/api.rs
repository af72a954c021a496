//! REST APIs of the simulated providers, where webhooks are listed, registered and removed, and
//! from which changes are read back.
//!
//! Each is a state machine over requests and responses, without I/O and without a clock.
//! [`ApiServer`] serves it on this machine. They follow the vendors' documentation, and share no
//! code with the API modules of the `providers` crate, so that each checks the other.

pub mod amocrm;
mod limiter;
pub mod pipedrive;
mod server;

use axum::{
    body::Bytes,
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use serde_json::Value;
use std::time::Duration;

pub use amocrm::AmocrmApi;
pub use pipedrive::PipedriveApi;
pub use server::{ApiServer, Attempt};

/// A request to an API.
pub type ApiRequest = Request<Bytes>;
/// A response of an API.
pub type ApiResponse = Response<Vec<u8>>;

/// The API of a provider, and its webhooks. All times are durations since 1970.
pub trait Api: Send + 'static {
    /// Responds to a request.
    fn respond(&mut self, request: &ApiRequest, now: Duration) -> ApiResponse;

    /// The webhooks that get an event of this kind now: `change.deal`, `update_lead`.
    fn targets(&self, kind: &str, now: Duration) -> Vec<WebhookTarget>;

    /// Records the result of a delivery. `None`: there was no response in time.
    fn record(&mut self, webhook: u64, status: Option<u16>, now: Duration);
}

/// Where a webhook sends a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookTarget {
    /// Id of the webhook.
    pub webhook: u64,
    /// Its URL.
    pub url: String,
    /// The value of `Authorization`, if the webhook has one.
    pub authorization: Option<String>,
}

/// What the webhooks of a provider send about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The kind of event, as [`Api::targets`] takes it.
    pub kind: String,
    /// The content type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// What Cloudflare answers for a provider that blocks a client.
const BLOCKED: &str = "<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head>\
    <body><h1>Error 1015</h1><p>You are being rate limited</p></body></html>";

/// A response with JSON.
fn json(status: u16, content_type: &str, body: &Value) -> ApiResponse {
    response(status, content_type, body.to_string().into_bytes())
}

/// A 403 response with HTML.
fn blocked() -> ApiResponse {
    response(403, "text/html; charset=UTF-8", BLOCKED.into())
}

fn response(status: u16, content_type: &str, body: Vec<u8>) -> ApiResponse {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header(header::CONTENT_TYPE, content_type)
        .body(body)
        .unwrap()
}

/// The value of a header. Empty without it.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    header(headers, "authorization").strip_prefix("Bearer ")
}

/// Whether a delivery with this status succeeded.
fn is_success(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}
