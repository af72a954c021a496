//! Test requests to a provider's URL, as API Gateway passes them to a function.
//!
//! Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use crate::provider;
use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use hookkeeper::dev::CREDENTIAL;
use providers::{Provider, Scheme};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// User name and password that the tests authenticate with.
pub const CREDENTIALS: &str = "user:pass:wörd";
/// URL key that the tests authenticate with.
pub const KEY: &str = "Zm9y-dGhl_dGVzdHM";
/// URL key of the samples in `events/`. Their user name and password are both [`CREDENTIAL`].
const SAMPLES_KEY: &str = "local-key";

/// Request in payload format 2.0. Its members may have values that API Gateway never sends.
#[derive(Debug, Clone)]
pub struct Request(pub Value);

impl Request {
    /// A POST of text to a provider's URL, with [`CREDENTIALS`].
    #[must_use]
    pub fn post(provider: &str, body: &str) -> Self {
        Self::with_method("POST", provider)
            .body(body)
            .authorization(&basic(CREDENTIALS))
    }

    /// A POST of any bytes to a provider's URL, with [`CREDENTIALS`].
    #[must_use]
    pub fn post_bytes(provider: &str, body: &[u8]) -> Self {
        Self::post(provider, &STANDARD.encode(body)).with("/isBase64Encoded", true)
    }

    /// A request without body or credentials.
    #[must_use]
    pub fn with_method(method: &str, provider: &str) -> Self {
        let path = format!("/{provider}");
        Self(json!({
            "version": "2.0",
            "routeKey": format!("ANY {path}"),
            "rawPath": path,
            "rawQueryString": "",
            "headers": {
                "host": "id.execute-api.us-east-1.amazonaws.com",
                "x-forwarded-proto": "https",
            },
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "id",
                "domainName": "id.execute-api.us-east-1.amazonaws.com",
                "domainPrefix": "id",
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "tests",
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": format!("ANY {path}"),
                "stage": "$default",
                "time": "21/Nov/2026:20:43:00 +0000",
                "timeEpoch": 1_795_293_780_000_i64,
            },
            "isBase64Encoded": false,
        }))
    }

    /// The same with another value at a JSON pointer.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[name] = value.into();
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(self, body: &str) -> Self {
        self.with("/body", body)
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0["headers"][name] = value.into();
        self
    }

    /// The same with this `Authorization`.
    #[must_use]
    pub fn authorization(self, value: &str) -> Self {
        self.header("authorization", value)
    }

    /// The same without credentials.
    #[must_use]
    pub fn unauthorized(mut self) -> Self {
        let headers = self.0["headers"].as_object_mut().unwrap();
        headers.remove("authorization");
        self
    }

    /// The same with this query string.
    #[must_use]
    pub fn query(self, query: &str) -> Self {
        self.with("/rawQueryString", query)
    }
}

impl From<Request> for Bytes {
    fn from(request: Request) -> Self {
        request.0.to_string().into()
    }
}

/// The value of `Authorization` for `user:password`.
#[must_use]
pub fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

/// One entry of a list of accepted credentials: `label:digest`.
#[must_use]
pub fn accepted(label: &str, secret: &str) -> String {
    format!("{label}:{}", hex::encode(Sha256::digest(secret)))
}

/// The list of accepted credentials: those of the samples, with the label `local`, and
/// [`CREDENTIALS`].
#[must_use]
pub fn accepted_credentials() -> String {
    let local = accepted("local", &format!("{CREDENTIAL}:{CREDENTIAL}"));
    format!("{local},{}", accepted("test", CREDENTIALS))
}

/// The list of accepted URL keys: that of the samples, with the label `url`, and [`KEY`]. Empty if
/// the provider does not support keys.
#[must_use]
pub fn accepted_keys(provider: &Provider) -> String {
    if provider.supports(Scheme::UrlKey) {
        format!("{},{}", accepted("url", SAMPLES_KEY), accepted("test", KEY))
    } else {
        String::new()
    }
}

/// The body of a delivery of one event, a different one for each number.
#[must_use]
pub fn event(name: &str, number: u32) -> String {
    (provider(name).samples.numbered)(number)
}
