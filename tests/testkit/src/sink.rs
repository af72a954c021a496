//! HTTP server on this machine that records the requests it gets.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// Server that records requests. Dropping it ends the server.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    state: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Statuses of the next requests. The last one is repeated.
    statuses: Mutex<Vec<StatusCode>>,
    after: Duration,
    taken: Mutex<Vec<Taken>>,
    /// Number of requests in progress, and its maximum so far.
    here: AtomicUsize,
    most: AtomicUsize,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Path and query.
    pub uri: String,
    /// Headers by their lowercase names.
    pub headers: BTreeMap<String, String>,
    /// Body as received.
    pub body: Vec<u8>,
}

impl Sink {
    /// Starts a server that responds with a status after a delay.
    pub async fn start(status: u16, after: Duration) -> Self {
        Self::on_port(0, &[status], after).await
    }

    /// Starts a server that responds with these statuses in turn, and then with the last one.
    pub async fn answering(statuses: &[u16]) -> Self {
        Self::on_port(0, statuses, Duration::ZERO).await
    }

    /// Starts a server on a port. 0: any.
    pub async fn on_port(port: u16, statuses: &[u16], after: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let statuses = statuses.iter().rev();
        let statuses = statuses.map(|status| StatusCode::from_u16(*status).unwrap());
        let state = Arc::new(Shared {
            statuses: Mutex::new(statuses.collect()),
            after,
            taken: Mutex::default(),
            here: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&state));
        let server = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self {
            port,
            state,
            server,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Requests since the last call.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        std::mem::take(&mut self.state.taken.lock().unwrap())
    }

    /// Maximum number of requests that waited for their responses at the same time.
    #[must_use]
    pub fn most(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(state): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let here = state.here.fetch_add(1, Ordering::SeqCst) + 1;
    state.most.fetch_max(here, Ordering::SeqCst);
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    state.taken.lock().unwrap().push(Taken {
        uri: uri.to_string(),
        headers,
        body: body.to_vec(),
    });
    sleep(state.after).await;
    state.here.fetch_sub(1, Ordering::SeqCst);
    let mut statuses = state.statuses.lock().unwrap();
    let next = (statuses.len() > 1).then(|| statuses.pop());
    next.flatten().or(statuses.first().copied()).unwrap()
}
