//! HTTP client that sends requests to a receiver as a provider does. It reports the status, the
//! latency, and the difference of the clocks.

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider as Tls, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use axum::http::Uri;
use base64::{Engine, engine::general_purpose::STANDARD};
use form_urlencoded::byte_serialize;
use providers::{Provider, Scheme};
use std::{
    error::Error,
    iter,
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::timeout;

/// HTTP client that reuses its connections.
#[derive(Debug)]
pub(crate) struct Http(Connector);

/// HTTP request to a receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a str,
    pub(crate) shown: Option<&'a Credential>,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

/// Credential that authenticates a provider.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Credential {
    /// `user:password`.
    Basic(String),
    /// A key in the URL.
    Key(String),
}

/// Outcome of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status of a response that was read to its end, or the reason why there is none.
    pub(crate) status: Result<u16, String>,
    pub(crate) latency: Duration,
    /// Seconds by which our clock is ahead of the server's, if the response has a `Date` header.
    pub(crate) ahead: Option<i64>,
}

impl Credential {
    /// Parses a secret: `user:password`, or a key if the provider supports keys.
    pub(crate) fn for_provider(provider: &Provider, secret: &str) -> Result<Self, String> {
        match (secret.contains(':'), provider.supports(Scheme::UrlKey)) {
            (true, _) => Ok(Self::Basic(secret.to_owned())),
            (false, true) => Ok(Self::Key(secret.to_owned())),
            (false, false) => Err(format!("{} sends USER:PASSWORD, and no key", provider.name)),
        }
    }
}

/// Fails if a credential would be sent to another machine without TLS, where everybody on the way
/// can read it. The message does not contain the URL, which may have a key.
pub(crate) fn check_secrecy(url: &str, shown: Option<&Credential>) -> Result<(), String> {
    let uri: Option<Uri> = url.parse().ok();
    let query = uri.as_ref().and_then(Uri::query).unwrap_or_default();
    let has_key = query.split('&').any(|pair| pair.starts_with("key="));
    let is_encrypted = uri
        .as_ref()
        .is_some_and(|uri| uri.scheme_str() == Some("https"));
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    if (shown.is_none() && !has_key) || is_encrypted || is_this_machine(host) {
        return Ok(());
    }
    Err(format!(
        "the credential would be sent to {host} unencrypted: use https:// \
        (http:// is only for this machine)"
    ))
}

/// Whether a host is this machine. The name `localhost` and all names below it always are.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>
fn is_this_machine(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback())
}

impl Answer {
    pub(crate) fn is_taken(&self) -> bool {
        self.status
            .as_ref()
            .is_ok_and(|status| (200..300).contains(status))
    }
}

impl Http {
    pub(crate) fn new() -> Self {
        Self(
            Connector::builder()
                .tls_provider(Tls::Rustls(CryptoMode::Ring))
                .build(),
        )
    }

    /// Sends a request, and waits at most `within` for the response.
    pub(crate) async fn send(&self, request: Request<'_>, within: Duration) -> Answer {
        let started = Instant::now();
        let answer = timeout(within, self.answer(request)).await;
        let latency = started.elapsed();
        match answer {
            Ok(Ok((status, ahead))) => Answer {
                status: Ok(status),
                latency,
                ahead,
            },
            Ok(Err(error)) => Answer {
                status: Err(innermost(&*error)),
                latency,
                ahead: None,
            },
            Err(_) => Answer {
                status: Err(format!("not within {} s", within.as_secs())),
                latency,
                ahead: None,
            },
        }
    }

    async fn answer(
        &self,
        request: Request<'_>,
    ) -> Result<(u16, Option<i64>), Box<dyn Error + Send + Sync>> {
        let answer = self.0.call(request.try_into()?).await?;
        let status = answer.status().as_u16();
        let ahead = answer.headers().get("date").and_then(ahead);
        // Read the body to its end, so that the connection can be reused.
        axum::body::to_bytes(axum::body::Body::new(answer.into_body()), usize::MAX).await?;
        Ok((status, ahead))
    }
}

impl TryFrom<Request<'_>> for HttpRequest {
    type Error = Box<dyn Error + Send + Sync>;

    fn try_from(
        Request {
            method,
            url,
            shown,
            headers,
            body,
        }: Request<'_>,
    ) -> Result<Self, Self::Error> {
        let mut request = Self::new(body.to_vec().into());
        request.set_method(method)?;
        match shown {
            Some(Credential::Key(key)) => {
                let key: String = byte_serialize(key.as_bytes()).collect();
                let joint = if url.contains('?') { '&' } else { '?' };
                request.set_uri(format!("{url}{joint}key={key}"))?;
            }
            _ => request.set_uri(url)?,
        }
        for (name, value) in headers {
            request
                .headers_mut()
                .try_insert(name.clone(), value.clone())?;
        }
        if let Some(Credential::Basic(credentials)) = shown {
            request.headers_mut().try_insert(
                "authorization",
                format!("Basic {}", STANDARD.encode(credentials)),
            )?;
        }
        if body.is_empty() {
            request.headers_mut().try_insert("content-length", "0")?;
        }
        Ok(request)
    }
}

/// Seconds by which our clock is ahead of a `Date` header.
fn ahead(date: &str) -> Option<i64> {
    let there = DateTime::from_str(date, DateTimeFormat::HttpDate)
        .ok()?
        .secs();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(here).ok()? - there)
}

/// Message of the innermost cause of an error.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_leaves_this_machine_only_with_tls() {
        let basic = Credential::Basic("user:password".to_owned());
        let key = Credential::Key("secret".to_owned());
        for url in [
            "https://hooks.example.com/pipedrive",
            "http://127.0.0.1:9000/pipedrive",
            "http://localhost/amocrm",
            "http://id.execute-api.localhost:4566/closer",
            "http://[::1]:9000/closer",
        ] {
            assert_eq!(check_secrecy(url, Some(&basic)), Ok(()), "{url}");
        }
        for url in [
            "http://hooks.example.com/pipedrive?x=secret",
            "http://10.0.0.1/pipedrive",
            "http://localhost.example.com/pipedrive",
            "http://127.0.0.1.example.com/pipedrive",
        ] {
            for shown in [&basic, &key] {
                let error = check_secrecy(url, Some(shown)).unwrap_err();
                assert!(!error.contains("secret") && !error.contains("password"));
            }
            assert_eq!(check_secrecy(url, None), Ok(()), "{url}");
        }
    }
}
