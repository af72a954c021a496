//! Serves the API of a provider on this machine, and delivers its webhooks over real connections.

use super::{Api, ApiRequest, ApiResponse, WebhookTarget, response};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::Method,
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

/// How long a delivery waits for its response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An API on 127.0.0.1. Dropping it ends the server.
#[derive(Debug)]
pub struct ApiServer<A> {
    address: SocketAddr,
    shared: Arc<Shared<A>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared<A> {
    api: Mutex<A>,
    /// Responses to the next requests, instead of the API's.
    canned: Mutex<VecDeque<ApiResponse>>,
    calls: Mutex<Vec<String>>,
}

/// A delivery of a webhook, and the status of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where it was sent.
    pub target: WebhookTarget,
    /// `None`: there was no response in time.
    pub status: Option<u16>,
}

impl<A: Api> ApiServer<A> {
    /// Starts a server.
    pub async fn start(api: A) -> Self {
        let shared = Arc::new(Shared {
            api: Mutex::new(api),
            canned: Mutex::default(),
            calls: Mutex::default(),
        });
        let app = Router::new().fallback(answer::<A>);
        let app = app.with_state(Arc::clone(&shared));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            server,
        }
    }

    /// Its URL: `http://127.0.0.1:8004`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The state of the API.
    pub fn api(&self) -> MutexGuard<'_, A> {
        self.shared.api.lock().unwrap()
    }

    /// Responds so to the next request that has no such response yet.
    pub fn respond_next(&self, status: u16, content_type: &str, body: &str) {
        let canned = response(status, content_type, body.into());
        self.shared.canned.lock().unwrap().push_back(canned);
    }

    /// The requests since the last call: `GET /v1/webhooks`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.calls.lock().unwrap())
    }

    /// Delivers an event once through every webhook that gets its kind.
    pub async fn deliver(&self, kind: &str, content_type: &str, body: &str) -> Vec<Attempt> {
        let targets = self.api().targets(kind, now());
        let attempts = targets.into_iter().map(|target| async {
            let status = post(&target, content_type, body).await;
            self.api().record(target.webhook, status, now());
            Attempt { target, status }
        });
        join_all(attempts).await
    }
}

impl<A> Drop for ApiServer<A> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer<A: Api>(State(shared): State<Arc<Shared<A>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.unwrap();
    let request = ApiRequest::from_parts(parts, body);
    let call = format!("{} {}", request.method(), request.uri().path());
    shared.calls.lock().unwrap().push(call);
    let canned = shared.canned.lock().unwrap().pop_front();
    let response = match canned {
        Some(canned) => canned,
        None => shared.api.lock().unwrap().respond(&request, now()),
    };
    response.map(Body::from).into_response()
}

/// Sends a delivery. `None`: there was no response in time.
async fn post(target: &WebhookTarget, content_type: &str, body: &str) -> Option<u16> {
    let mut request = HttpRequest::new(body.as_bytes().to_vec().into());
    request.set_method(Method::POST.as_str()).unwrap();
    request.set_uri(&*target.url).unwrap();
    let headers = request.headers_mut();
    headers.insert("content-type", content_type.to_owned());
    if let Some(authorization) = &target.authorization {
        headers.insert("authorization", authorization.clone());
    }
    let answer = Connector::builder().build_http().call(request);
    let answer = timeout(TIMEOUT, answer).await.ok()?.ok()?;
    Some(answer.status().as_u16())
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
