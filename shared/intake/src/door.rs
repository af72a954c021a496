//! The door: API Gateway's event as it came, whatever it is.
//!
//! `lambda_http`'s own conversion to an HTTP request fails or panics before the handler on inputs that a sender chooses
//! (a query with `<`, a body flagged as base64 that is not, a bad `Host`), and its event type refuses a header that HTTP
//! does not allow. A provider would be answered 5xx for any of them. Here a failure is a value.

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderMap, HeaderName, HeaderValue, Method},
};
use models::{Delivery, Timestamp, Unreadable};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::time::{SystemTime, UNIX_EPOCH};

/// What Lambda hands over. Anything but API Gateway's event shows no credentials, and so is a stranger's.
pub(crate) struct Payload(pub(crate) ApiGatewayV2httpRequest);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        let event = serde_json::from_str(event.get()).ok().or_else(|| without_bad_headers(event.get()));
        Ok(Self(event.unwrap_or_else(nobodys)))
    }
}

fn nobodys() -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.request_context.http.method = Method::POST;
    event
}

/// The event without the headers that HTTP does not allow.
fn without_bad_headers(event: &str) -> Option<ApiGatewayV2httpRequest> {
    let mut event: serde_json::Value = serde_json::from_str(event).ok()?;
    event.get_mut("headers")?.as_object_mut()?.retain(|name, value| {
        let value = value.as_str().map(HeaderValue::from_str);
        HeaderName::try_from(name).is_ok() && matches!(value, Some(Ok(_)))
    });
    serde_json::from_value(event).ok()
}

/// A request, taken apart.
pub(crate) struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
    pub(crate) delivery: Delivery,
    /// Why the body is not the one that the provider sent; then it is API Gateway's text.
    pub(crate) garbled: Option<Unreadable>,
}

/// Takes an event apart. `request_id_header` is the one that holds the provider's own id of a request.
pub(crate) fn open(event: ApiGatewayV2httpRequest, request_id_header: Option<&str>) -> Request {
    let text = event.body.unwrap_or_default();
    let (body, garbled) = match event.is_base64_encoded.then(|| STANDARD.decode(&text)) {
        None => (text.into_bytes(), None),
        Some(Ok(bytes)) => (bytes, None),
        Some(Err(_)) => (text.into_bytes(), Some(Unreadable::NotBase64)),
    };
    let header =
        |name: &str| Some(event.headers.get(name)?.to_str().ok()?.trim().to_owned()).filter(|it| !it.is_empty());
    let delivery = Delivery {
        content_type: header("content-type"),
        arrival: Timestamp::from_epoch(event.request_context.time_epoch).unwrap_or_else(now),
        request_id: request_id_header
            .and_then(header)
            .or_else(|| event.request_context.request_id.clone())
            .unwrap_or_else(|| now().to_string()),
        body,
    };
    Request { query: event.raw_query_string.unwrap_or_default(), delivery, garbled, headers: event.headers }
}

/// The time by this machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(event: &str) -> ApiGatewayV2httpRequest {
        serde_json::from_str::<Payload>(event).unwrap().0
    }

    #[test]
    fn a_header_that_http_forbids_costs_that_header_alone() {
        let event = r#"{"headers":{"authorization":"Basic eA==","x-bad":"a\u0001b","bad name":"x","x-null":null},
            "requestContext":{"http":{"method":"POST"},"requestId":"r"},"body":"b"}"#;
        let event = payload(event);
        assert_eq!(event.headers.len(), 1);
        assert_eq!(event.headers["authorization"], "Basic eA==");
        assert_eq!(event.body.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_event_is_an_empty_one() {
        for garbage in ["{}", "[]", "1", "null", "\"text\"", r#"{"Records":[]}"#, r#"{"requestContext":{"http":1}}"#] {
            assert_eq!(payload(garbage), nobodys(), "{garbage}");
        }
    }

    #[test]
    fn a_body_is_decoded_once() {
        let mut event = ApiGatewayV2httpRequest::default();
        event.body = Some(STANDARD.encode("a%3Db=YQ=="));
        event.is_base64_encoded = true;
        assert_eq!(open(event.clone(), None).delivery.body, b"a%3Db=YQ==");
        event.body = Some("no base64!".to_owned());
        let request = open(event, None);
        assert_eq!((request.delivery.body, request.garbled), (b"no base64!".to_vec(), Some(Unreadable::NotBase64)));
    }

    #[test]
    fn the_arrival_is_the_events_own_in_whichever_unit() {
        let mut event = ApiGatewayV2httpRequest::default();
        event.request_context.time_epoch = 1_763_757_000_123;
        assert_eq!(open(event.clone(), None).delivery.arrival.to_string(), "2025-11-21T20:30:00.123000Z");
        // What cargo-lambda sends.
        event.request_context.time_epoch = 1_763_757_000;
        assert_eq!(open(event, None).delivery.arrival.to_string(), "2025-11-21T20:30:00.000000Z");
    }
}
