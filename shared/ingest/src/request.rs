//! Request parsing: reads API Gateway's event leniently, whatever it contains.
//!
//! `lambda_http`'s own conversion to an HTTP request fails or panics before the handler on inputs
//! that a sender chooses: a query with `<`, a body that is flagged as base64 and is not, or an
//! invalid `Host`. Its event type rejects a header that HTTP does not allow, and text that is not
//! Unicode. The provider would get a 5xx response for any of them. Here, a failure is a value.

use crate::auth;
use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION},
};
use models::{Delivery, Origin, ParseError, Timestamp, json::Lenient};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, collections::BTreeMap};
use storage::budget::now;

/// The payload of a Lambda invocation, as the event that
/// [`Receiver::answer`](crate::Receiver::answer) takes. A payload that is not API Gateway's event
/// has no credentials, so it is unauthorized.
pub struct Payload(pub ApiGatewayV2httpRequest);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Lenient::<Event>::deserialize(deserializer)?;
        Ok(Self(event.0.unwrap_or_default().into()))
    }
}

/// The members of an event that we use. A member whose type is not the documented one is skipped;
/// the rest of the event is still used.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    raw_query_string: Lenient<Text<'a>>,
    #[serde(borrow)]
    headers: Lenient<BTreeMap<Text<'a>, Lenient<Text<'a>>>>,
    request_context: Lenient<Context>,
    #[serde(borrow)]
    body: Lenient<Text<'a>>,
    is_base64_encoded: Lenient<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Context {
    http: Lenient<Http>,
    request_id: Lenient<String>,
    time_epoch: Lenient<i64>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Text of a JSON string. A lone surrogate such as `\ud800` becomes the three bytes of its
/// generalized UTF-8 encoding.
///
/// Source: <https://simonsapin.github.io/wtf-8>
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, [u8]>);

impl From<Event<'_>> for ApiGatewayV2httpRequest {
    fn from(given: Event) -> Self {
        let context = given.request_context.0.unwrap_or_default();
        let method = context.http.0.and_then(|http| http.method.parse().ok());
        let mut event = Self::default();
        event.raw_query_string = given
            .raw_query_string
            .0
            .map(|query| String::from_utf8_lossy(&query.0).into_owned());
        event.headers = headers(given.headers.0.unwrap_or_default());
        event.request_context.http.method = method.unwrap_or(Method::POST);
        event.request_context.request_id = context.request_id.0;
        event.request_context.time_epoch = context.time_epoch.0.unwrap_or_default();
        (event.body, event.is_base64_encoded) = match given
            .body
            .0
            .map(|body| String::from_utf8(body.0.into_owned()))
        {
            Some(Err(not_unicode)) => (Some(STANDARD.encode(not_unicode.as_bytes())), true),
            body => (
                body.and_then(Result::ok),
                given.is_base64_encoded.0.unwrap_or_default(),
            ),
        };
        event
    }
}

/// Returns the headers that HTTP allows, up to the capacity of a `HeaderMap`. API Gateway never
/// sends more.
fn headers(given: BTreeMap<Text, Lenient<Text>>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given.into_iter().filter_map(header) {
        if headers.try_append(name, value).is_err() {
            break;
        }
    }
    headers
}

/// Returns a header, or `None` if HTTP does not allow it.
fn header((name, value): (Text, Lenient<Text>)) -> Option<(HeaderName, HeaderValue)> {
    Some((
        HeaderName::from_bytes(&name.0).ok()?,
        HeaderValue::from_bytes(&value.0?.0).ok()?,
    ))
}

/// Maximum length of a header value or id that is stored and logged. A sender must not be able to
/// make an item too large for the table.
const MAX_KEPT_BYTES: usize = 512;

/// A parsed request. Its body is the text that API Gateway sent.
#[derive(Debug)]
pub struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
    body: String,
    is_base64: bool,
    origin: Origin,
}

/// Returns the shortened value of a header, or `None` if it is empty or not text.
fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| shortened(value))
}

/// Cuts a text to [`MAX_KEPT_BYTES`], at a character boundary.
pub(crate) fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_KEPT_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

impl Request {
    /// Parses an event. `request_id_header` is the name of the header with the provider's own
    /// request id.
    #[must_use]
    pub fn from_event(event: ApiGatewayV2httpRequest, request_id_header: Option<&str>) -> Self {
        let provider_id = request_id_header.and_then(|name| value(&event.headers, name));
        let gateway_id = event.request_context.request_id.as_deref().map(shortened);
        let request_id = provider_id.or_else(|| gateway_id.clone());
        let origin = Origin {
            arrival: Timestamp::from_epoch(event.request_context.time_epoch).unwrap_or_else(now),
            request_id: request_id.unwrap_or_else(|| now().to_string()),
            gateway_id,
            content_type: value(&event.headers, "content-type"),
            credential: None,
        };
        Self {
            query: event.raw_query_string.unwrap_or_default(),
            body: event.body.unwrap_or_default(),
            is_base64: event.is_base64_encoded,
            headers: event.headers,
            origin,
        }
    }

    /// Where the delivery comes from. It has no credential yet.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the request has neither a body nor a credential. Providers send such a request to
    /// check a URL before they save it.
    pub(crate) fn is_url_check(&self) -> bool {
        self.body.is_empty()
            && !self.headers.contains_key(AUTHORIZATION)
            && !auth::has_key(&self.query)
    }

    /// The length of the decoded body, in bytes.
    pub(crate) fn body_length(&self) -> usize {
        if !self.is_base64 {
            return self.body.len();
        }
        let digits = self.body.trim_end_matches('=');
        let padding = self.body.len() - digits.len();
        (self.body.len() / 4 * 3).saturating_sub(padding)
    }

    /// Decodes the body of a request that was authenticated with the credential of this label. If
    /// that fails, the delivery has the text that API Gateway sent, and the second value says why.
    pub(crate) fn into_delivery(self, credential: &str) -> (Delivery, Option<ParseError>) {
        let decoded = self.is_base64.then(|| STANDARD.decode(&self.body));
        let (body, error) = match decoded {
            None => (self.body.into_bytes(), None),
            Some(Ok(bytes)) => (bytes, None),
            Some(Err(_)) => (self.body.into_bytes(), Some(ParseError::NotBase64)),
        };
        let origin = Origin {
            credential: Some(credential.to_owned()),
            ..self.origin
        };
        (Delivery { body, origin }, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(event: ApiGatewayV2httpRequest) -> (Delivery, Option<ParseError>) {
        Request::from_event(event, None).into_delivery("label")
    }

    fn payload(event: &str) -> ApiGatewayV2httpRequest {
        serde_json::from_str::<Payload>(event).unwrap().0
    }

    #[test]
    fn what_is_wrong_in_an_event_costs_itself_alone() {
        let event = r#"{"headers":{"authorization":"Basic eA==","x-bad":"a\u0001b","bad name":"x","x-null":null,"\udc00":""},
            "requestContext":{"http":{"method":"PUT","path":1},"requestId":"r","timeEpoch":"then"},
            "cookies":{},"queryStringParameters":[],"stageVariables":"\ud800","rawQueryString":"key=\ud800","body":"b"}"#;
        let event = payload(event);
        assert_eq!(event.headers.len(), 1);
        assert_eq!(event.headers["authorization"], "Basic eA==");
        assert_eq!(event.request_context.http.method, Method::PUT);
        assert_eq!(event.request_context.request_id.as_deref(), Some("r"));
        assert_eq!(
            event.raw_query_string.as_deref(),
            Some("key=\u{fffd}\u{fffd}\u{fffd}")
        );
        assert_eq!(event.body.as_deref(), Some("b"));
    }

    #[test]
    fn a_body_that_is_no_unicode_is_its_bytes() {
        let (delivery, _) = decoded(payload(r#"{"body":"\u00e9\ud800\ud83d\ude00"}"#));
        assert_eq!(delivery.body, b"\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80");
    }

    #[test]
    fn more_headers_than_http_allows_do_no_harm() {
        let headers: Vec<String> = (0..40_000)
            .map(|number| format!(r#","x-{number}":"1""#))
            .collect();
        let headers = headers.concat();
        let event = payload(&format!(
            r#"{{"headers":{{"authorization":"Basic eA=="{headers}}},"body":"b"}}"#
        ));
        assert_eq!(event.headers["authorization"], "Basic eA==");
        assert_eq!(event.body.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_event_is_an_empty_one() {
        let nobodys = ApiGatewayV2httpRequest::from(Event::default());
        assert_eq!(nobodys.request_context.http.method, Method::POST);
        for garbage in [
            "{}",
            "[]",
            "1",
            "null",
            "\"text\"",
            r#"{"Records":[]}"#,
            r#"{"requestContext":{"http":1}}"#,
        ] {
            assert_eq!(payload(garbage), nobodys, "{garbage}");
        }
    }

    #[test]
    fn a_body_is_decoded_once() {
        let mut event = ApiGatewayV2httpRequest::default();
        event.body = Some(STANDARD.encode("a%3Db=YQ=="));
        event.is_base64_encoded = true;
        assert_eq!(decoded(event.clone()).0.body, b"a%3Db=YQ==");
        event.body = Some("no base64!".to_owned());
        let (delivery, error) = decoded(event);
        assert_eq!(
            (delivery.body, error),
            (b"no base64!".to_vec(), Some(ParseError::NotBase64))
        );
    }

    #[test]
    fn what_is_kept_of_headers_is_short() {
        let long = "x".repeat(10_000);
        let mut event = ApiGatewayV2httpRequest::default();
        for name in ["content-type", "x-id"] {
            event.headers.insert(name, long.parse().unwrap());
        }
        event.request_context.request_id = Some("\u{20ac}".repeat(1_000));
        let request = Request::from_event(event.clone(), Some("x-id"));
        let kept = "x".repeat(512);
        assert_eq!(request.origin.content_type.as_deref(), Some(&*kept));
        assert_eq!(request.origin.request_id, kept);
        // Byte 512 is inside a character of three bytes.
        assert_eq!(
            Request::from_event(event, None).origin.request_id,
            "\u{20ac}".repeat(170)
        );
    }

    #[test]
    fn the_length_of_a_body_is_known_before_it_is_decoded() {
        for length in 0..9 {
            let mut event = ApiGatewayV2httpRequest::default();
            event.body = Some(STANDARD.encode(vec![b'a'; length]));
            event.is_base64_encoded = true;
            assert_eq!(
                Request::from_event(event.clone(), None).body_length(),
                length
            );
            event.body = Some("a".repeat(length));
            event.is_base64_encoded = false;
            assert_eq!(Request::from_event(event, None).body_length(), length);
        }
    }

    #[test]
    fn the_arrival_is_the_events_own_in_whichever_unit() {
        let mut event = ApiGatewayV2httpRequest::default();
        event.request_context.time_epoch = 1_763_757_000_123;
        assert_eq!(
            Request::from_event(event.clone(), None)
                .origin
                .arrival
                .to_string(),
            "2025-11-21T20:30:00.123000Z"
        );
        // cargo-lambda sends seconds.
        event.request_context.time_epoch = 1_763_757_000;
        assert_eq!(
            Request::from_event(event, None).origin.arrival.to_string(),
            "2025-11-21T20:30:00.000000Z"
        );
    }
}
