//! One HTTP request: what it is answered, how soon, and what time it is there.

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider as Tls, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use std::{
    error::Error,
    iter,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::timeout;

/// Sends requests, and keeps the connections for further ones.
#[derive(Debug)]
pub(crate) struct Http(Connector);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) latency: Duration,
    /// By how many seconds our clock is ahead of the one there, where the answer bears a `Date`.
    pub(crate) ahead: Option<i64>,
}

impl Http {
    pub(crate) fn new() -> Self {
        Self(Connector::builder().tls_provider(Tls::Rustls(CryptoMode::Ring)).build())
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// A sentence: there is no answer, or none within the time.
    pub(crate) async fn ask(
        &self,
        method: &str,
        url: &str,
        authorization: Option<&str>,
        within: Duration,
    ) -> Result<Answer, String> {
        let started = Instant::now();
        let answer = timeout(within, self.answer(method, url, authorization)).await;
        let (status, ahead) = answer
            .map_err(|_| format!("no answer within {} s", within.as_secs()))?
            .map_err(|error| format!("no answer ({})", innermost(&*error)))?;
        Ok(Answer { status, latency: started.elapsed(), ahead })
    }

    async fn answer(
        &self,
        method: &str,
        url: &str,
        authorization: Option<&str>,
    ) -> Result<(u16, Option<i64>), Box<dyn Error + Send + Sync>> {
        let mut request = HttpRequest::empty();
        request.set_method(method)?;
        request.set_uri(url)?;
        request.headers_mut().try_insert("content-length", "0")?;
        if let Some(authorization) = authorization {
            request.headers_mut().try_insert("authorization", authorization.to_owned())?;
        }
        let answer = self.0.call(request).await?;
        let status = answer.status().as_u16();
        let ahead = answer.headers().get("date").and_then(ahead);
        // Read to its end, so that the connection can be used again.
        axum::body::to_bytes(axum::body::Body::new(answer.into_body()), usize::MAX).await?;
        Ok((status, ahead))
    }
}

/// By how many seconds our clock is ahead of a `Date`.
fn ahead(date: &str) -> Option<i64> {
    let there = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?.secs();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(here).ok()? - there)
}

/// The last of an error's causes: what the system said.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
