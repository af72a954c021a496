//! Access rules of the local servers: programs may call them, web pages may not.
//!
//! A browser lets every web page send requests to 127.0.0.1. It adds an `Origin` header to each
//! cross-site request that can change something. A page whose own domain name resolves to 127.0.0.1
//! (DNS rebinding) does not need an `Origin` header, but its requests have that domain name in
//! `Host`. The AWS SDKs, the AWS CLI, curl and the providers send no `Origin` header.
//!
//! Source: <https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin>

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// Error body in the format of API Gateway.
const WEB_PAGE: &str =
    r#"{"message":"Requests of web pages (with an Origin header) are rejected"}"#;
/// Error body in the format of DynamoDB.
const WEB_PAGE_OR_HOST: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"Requests of web pages (with an Origin header), and to a host other than 127.0.0.1, are rejected"}"#;

/// Middleware of the receivers. It accepts a foreign `Host`, because a provider may call through a
/// tunnel.
pub(super) async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if is_of_a_web_page(request.headers()) {
        return refusal(WEB_PAGE);
    }
    next.run(request).await
}

/// Middleware of DynamoDB, which is only for programs on this machine.
pub(super) async fn refuse_web_pages_and_foreign_hosts(request: Request, next: Next) -> Response {
    if is_of_a_web_page(request.headers()) || !is_to_this_machine(request.headers()) {
        return refusal(WEB_PAGE_OR_HOST);
    }
    next.run(request).await
}

fn refusal(body: &'static str) -> Response {
    (
        StatusCode::FORBIDDEN,
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

fn is_of_a_web_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
}

/// Whether a request comes from a web page of another server. A page of the same server sends the
/// origin that `Host` names.
#[must_use]
pub fn is_of_a_foreign_web_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.any(|origin| {
        let own = origin.as_bytes().strip_prefix(b"http://");
        own.is_none() || own != host
    })
}

/// Whether a request names this machine as its `Host`.
#[must_use]
pub fn is_to_this_machine(headers: &HeaderMap) -> bool {
    headers.contains_key(header::HOST) && headers.get_all(header::HOST).iter().all(is_loopback)
}

/// Whether a `Host` header is `127.0.0.1`, `localhost` or `[::1]`, with any port.
fn is_loopback(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_loopback_hosts_are_this_machine() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "localhost:8000",
            "LOCALHOST",
            "[::1]:8000",
            "[::1]",
        ] {
            assert!(
                is_to_this_machine(&headers(&[(header::HOST, host)])),
                "{host}"
            );
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8000",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8000",
            "localhost@evil.example",
            "10.0.0.1:8000",
            "0.0.0.0:8000",
            "not a host",
        ] {
            assert!(
                !is_to_this_machine(&headers(&[(header::HOST, host)])),
                "{host}"
            );
        }
        assert!(!is_to_this_machine(&HeaderMap::new()));
        assert!(!is_to_this_machine(&headers(&[
            (header::HOST, "127.0.0.1"),
            (header::HOST, "evil.example")
        ])));
    }

    #[test]
    fn a_web_page_is_recognized_by_its_origin() {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:8000", ""] {
            assert!(
                is_of_a_web_page(&headers(&[(header::ORIGIN, origin)])),
                "{origin}"
            );
        }
        assert!(!is_of_a_web_page(&headers(&[(
            header::HOST,
            "127.0.0.1:8000"
        )])));
    }

    #[test]
    fn only_the_origin_of_the_host_is_not_foreign() {
        let of_page = |origin| {
            let host = (header::HOST, "127.0.0.1:9100");
            is_of_a_foreign_web_page(&headers(&[host, (header::ORIGIN, origin)]))
        };
        assert!(!of_page("http://127.0.0.1:9100"));
        assert!(!is_of_a_foreign_web_page(&HeaderMap::new()));
        for origin in [
            "https://evil.example",
            "http://127.0.0.1:9101",
            "http://localhost:9100",
            "https://127.0.0.1:9100",
            "null",
            "",
        ] {
            assert!(of_page(origin), "{origin}");
        }
    }
}
