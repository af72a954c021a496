//! Local API Gateway: converts an HTTP request to the event (payload format 2.0) that a Lambda
//! function receives, and the response of the function to an HTTP response.
//!
//! Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Maximum size of an event that Lambda accepts, in bytes of its JSON.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_EVENT_BYTES: usize = 6_291_556;

/// Converts an HTTP request to an event. As on AWS, a body whose content type is not text is
/// base64-encoded. This includes every form.
#[must_use]
pub fn event(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.version = Some("2.0".to_owned());
    event.route_key = Some("$default".to_owned());
    event.raw_path = Some(uri.path().to_owned());
    event.raw_query_string = Some(uri.query().unwrap_or_default().to_owned());
    event.headers = joined(headers);
    event.request_context.http.method = method.clone();
    event.request_context.http.path = Some(uri.path().to_owned());
    event.request_context.stage = Some("$default".to_owned());
    event.request_context.request_id = Some(request_id());
    event.request_context.time_epoch = storage::budget::now().as_micros() / 1_000;
    if !body.is_empty() {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text(headers));
        event.is_base64_encoded = text.is_none();
        event.body = Some(text.map_or_else(|| STANDARD.encode(body), str::to_owned));
    }
    event
}

/// Joins headers that occur several times with commas.
fn joined(headers: &HeaderMap) -> HeaderMap {
    headers
        .keys()
        .filter_map(|name| Some((name.clone(), joined_values(headers, name)?)))
        .collect()
}

fn joined_values(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let values = headers.get_all(name).iter();
    let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b","[..])).ok()
}

fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.starts_with("text/")
        || [
            "application/json",
            "application/xml",
            "application/javascript",
        ]
        .contains(&&*essence)
}

/// Request id that differs from all others of this process and of earlier ones.
fn request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "local-{:x}-{:x}",
        now.as_nanos(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Converts the response of a function to an HTTP response.
#[must_use]
pub fn response(response: ApiGatewayV2httpResponse) -> Response {
    let status = u16::try_from(response.status_code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    let body = response.body.map(|body| body.to_vec()).unwrap_or_default();
    let mut answer = axum::body::Body::from(body).into_response();
    *answer.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().extend(response.headers);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(content_type: &'static str, body: &'static [u8]) -> ApiGatewayV2httpRequest {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        event(
            &Method::POST,
            &Uri::from_static("/amocrm?key=a%20b&x"),
            &headers,
            &Bytes::from_static(body),
        )
    }

    #[test]
    fn forms_are_base64_encoded_and_json_is_not() {
        let form = sent("application/x-www-form-urlencoded", b"a%5B0%5D=1");
        assert_eq!(
            (form.body.as_deref(), form.is_base64_encoded),
            (Some("YSU1QjAlNUQ9MQ=="), true)
        );
        let json = sent("application/json; charset=utf-8", b"{}");
        assert_eq!(
            (json.body.as_deref(), json.is_base64_encoded),
            (Some("{}"), false)
        );
        assert!(sent("application/json", b"\xff").is_base64_encoded);
        assert_eq!(json.raw_query_string.as_deref(), Some("key=a%20b&x"));
    }

    #[test]
    fn each_request_has_its_own_id() {
        assert_ne!(
            sent("text/plain", b"x").request_context.request_id,
            sent("text/plain", b"x").request_context.request_id
        );
    }
}
