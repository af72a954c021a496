//! Where deliveries go, and by what they are let in.

use aws_smithy_http_client::{
    Connector,
    tls::{Provider as Tls, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings},
    orchestrator::HttpRequest,
};
use axum::http::Uri;
use base64::{Engine, engine::general_purpose::STANDARD};
use form_urlencoded::byte_serialize;
use std::{
    error::Error,
    iter,
    time::{Duration, Instant},
};

/// Longer than API Gateway waits for a function, and any provider for an answer.
const TIMEOUT: Duration = Duration::from_secs(35);

/// A receiver.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    authorization: Option<String>,
    pub(crate) is_local: bool,
    http: Connector,
}

/// What shows who is sending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// `user:password`.
    Basic(String),
    /// A key in the URL.
    Key(String),
    Nothing,
}

/// What became of a delivery on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) latency: Duration,
    /// The status, or why there was no answer.
    pub(crate) status: Result<u16, String>,
}

impl Answer {
    pub(crate) fn is_taken(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| (200..300).contains(status))
    }
}

impl Target {
    pub(crate) fn new(url: &str, shown: &Shown, is_local: bool) -> Result<Self, String> {
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let uri = uri.ok_or_else(|| format!("{url} is no URL (one begins with https://, or http://)"))?;
        let (url, authorization) = match shown {
            Shown::Key(key) => {
                let key: String = byte_serialize(key.as_bytes()).collect();
                let joint = if uri.query().is_some() { '&' } else { '?' };
                (format!("{url}{joint}key={key}"), None)
            }
            Shown::Basic(credentials) => (url.to_owned(), Some(format!("Basic {}", STANDARD.encode(credentials)))),
            Shown::Nothing => (url.to_owned(), None),
        };
        let settings = HttpConnectorSettings::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).build();
        let http =
            Connector::builder().tls_provider(Tls::Rustls(CryptoMode::Ring)).connector_settings(settings).build();
        Ok(Self { url, authorization, is_local, http })
    }

    /// Without what it may bear of a secret.
    pub(crate) fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    pub(crate) async fn post(&self, headers: &[(String, String)], body: &[u8]) -> Answer {
        let started = Instant::now();
        let status = self.status(headers, body).await;
        Answer { latency: started.elapsed(), status: status.map_err(|error| innermost(&*error)) }
    }

    async fn status(&self, headers: &[(String, String)], body: &[u8]) -> Result<u16, Box<dyn Error + Send + Sync>> {
        let mut request = HttpRequest::new(body.to_vec().into());
        request.set_method("POST")?;
        request.set_uri(&*self.url)?;
        let authorization = self.authorization.iter().map(|value| ("authorization", value));
        for (name, value) in headers.iter().map(|(name, value)| (&**name, value)).chain(authorization) {
            request.headers_mut().try_insert(name.to_owned(), value.clone())?;
        }
        let answer = self.http.call(request).await?;
        let status = answer.status().as_u16();
        // Read to its end, so that the connection can be used again.
        axum::body::to_bytes(axum::body::Body::new(answer.into_body()), usize::MAX).await?;
        Ok(status)
    }
}

/// The last of an error's causes: what the system said.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
