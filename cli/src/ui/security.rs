//! Access to the page: only a browser or program on this machine, and no page of another server.
//!
//! - `Host` must name this machine, which a domain name that resolves to 127.0.0.1 does not, and
//!   `Origin`, if there is one, the page itself.
//! - A request that a tunnel or proxy passed on, which its headers say, is refused too: it may come
//!   from anywhere, and a tunnel to the receivers of `cargo dev` is how a first webhook arrives.
//! - A request that can change something must have the token of this process, which only the page
//!   itself knows.
//! - The browser runs no script and loads nothing that is not from this server. So text of a sender
//!   that became markup by a mistake of ours could still not act.

use super::Site;
use crate::Failure;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hookkeeper::dev::caller::{is_of_a_foreign_web_page, is_to_this_machine};
use std::sync::Arc;

const TOKEN: HeaderName = HeaderName::from_static("x-hookkeeper-token");
const TOKEN_BYTES: usize = 32;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Headers that a proxy adds.
const OF_A_PROXY: [&str; 6] = [
    "cf-connecting-ip",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Personal data does not belong into the cache of a browser.
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Makes the token of a process.
pub(super) fn token() -> Result<String, Failure> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(hex::encode(bytes))
}

/// Middleware of every route.
pub(super) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&site, request.method(), request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request is refused, if it is.
fn refusal(site: &Site, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if !is_to_this_machine(headers) {
        return Some("The Host header must name this machine\n");
    }
    if OF_A_PROXY.iter().any(|name| headers.contains_key(*name)) {
        return Some("The request was passed on by a proxy or a tunnel\n");
    }
    if is_of_a_foreign_web_page(headers) {
        return Some("The request is of a page of another server (Origin header)\n");
    }
    let token = headers.get(TOKEN).map(HeaderValue::as_bytes);
    if !method.is_safe() && token != Some(site.token.as_bytes()) {
        return Some("The header x-hookkeeper-token is missing or not that of this process\n");
    }
    None
}
