//! HTTP client for a provider's API.

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{DateTime, body::SdkBody, byte_stream::ByteStream, date_time::Format};
use http::{HeaderMap, Request, Response, header::DATE};
use models::Timestamp;
use providers::api::{ApiError, Call, Limits};
use std::{
    error::Error,
    iter,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until, timeout},
};

/// How long a call may take. It ends before the lease of the account does.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait for a rate limit. With it, two requests end before the lease of the account does.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Maximum size of a response. A page of 500 deals has 14 MB at most.
const MAX_BYTES: usize = 20_000_000;

type BoxError = Box<dyn Error + Send + Sync>;

/// HTTP client that leaves a pause between two requests, and counts them.
#[derive(Debug)]
pub struct Client {
    connector: SharedHttpConnector,
    pause: Duration,
    /// When the next request may be sent.
    next: Mutex<Option<Instant>>,
    calls: AtomicU32,
    tokens: AtomicU32,
    /// The `Date` of the last response, in seconds since 1970. 0 until it is known.
    date: AtomicU64,
}

/// The use of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The number of calls.
    pub calls: u32,
    /// Tokens of the daily budget that they cost.
    pub tokens: u32,
}

impl Client {
    /// Client over the network.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let tls = Provider::Rustls(CryptoMode::Ring);
        let connector = Connector::builder().tls_provider(tls).build();
        Self::with_transport(limits, SharedHttpConnector::new(connector))
    }

    /// Like [`new`](Self::new), over another transport.
    #[must_use]
    pub fn with_transport(limits: Limits, connector: SharedHttpConnector) -> Self {
        Self {
            connector,
            pause: limits.pause,
            next: Mutex::default(),
            calls: AtomicU32::new(0),
            tokens: AtomicU32::new(0),
            date: AtomicU64::new(0),
        }
    }

    /// Sends a request, and parses its response. If the rate limit is reached and the response says
    /// that a short wait is enough, it waits and sends the request once more.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn send<T>(&self, call: Call<T>) -> Result<T, ApiError> {
        match self.send_once(&call).await {
            Err(ApiError::RateLimited { wait: Some(wait) }) if wait <= MAX_WAIT => {
                sleep(wait).await;
                self.send_once(&call).await
            }
            sent => sent,
        }
    }

    async fn send_once<T>(&self, call: &Call<T>) -> Result<T, ApiError> {
        self.wait().await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(call.tokens, Ordering::Relaxed);
        let response = timeout(TIMEOUT, self.response(call.request.clone())).await;
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(ApiError::NoResponse(innermost(&*error))),
            Err(_) => {
                let why = format!("none within {} s", TIMEOUT.as_secs());
                return Err(ApiError::NoResponse(why));
            }
        };
        if let Some(date) = date(response.headers()) {
            self.date.store(date, Ordering::Relaxed);
        }
        (call.parse)(&response)
    }

    /// The provider's time, as its last response told it. `None`: it did not.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        let seconds = self.date.load(Ordering::Relaxed);
        (seconds > 0).then(|| Timestamp::from_unix(Duration::from_secs(seconds)))
    }

    /// The calls so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
        }
    }

    /// Waits until the next request may be sent.
    async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            sleep_until(next).await;
        }
        *next = Some(Instant::now() + self.pause);
    }

    async fn response(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, BoxError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from))?;
        let response = self.connector.call(request).await?.try_into_http1x()?;
        let (head, body) = response.into_parts();
        let mut stream = ByteStream::new(body);
        let mut body = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(format!("more than {MAX_BYTES} bytes").into());
            }
        }
        Ok(Response::from_parts(head, body))
    }
}

/// The `Date` of a response, in seconds since 1970.
fn date(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::from_str(text, Format::HttpDate).ok()?;
    date.secs().try_into().ok()
}

/// Message of the innermost cause of an error.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
