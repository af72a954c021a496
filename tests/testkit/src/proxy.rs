//! Fault proxy in front of a store: real faults, over real sockets, in real time.
//!
//! It is between a client and the embedded DynamoDB or the test queue. It forwards complete
//! HTTP/1.1 messages until a fault is set.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// Fault that a proxy causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// Rejects each request with AWS's throttling error.
    Throttling,
    /// Responds 500.
    InternalError,
    /// Accepts the request and never responds.
    Hang,
    /// Refuses connections, and closes the open ones.
    Refused,
    /// Executes the request, and sends the response too slowly.
    Trickle,
    /// Resets the connection after it received the request.
    ResetBefore,
    /// Executes the request, and resets the connection.
    ResetAfter,
    /// Executes the request, and responds 200 with an HTML page.
    NotJson,
    /// Existing connections never respond; new ones work. This happens after a freeze.
    Silent,
    /// Existing connections are reset on use; new ones work.
    Stale,
}

impl Fault {
    /// The faults of a store, without those of a connection.
    pub const OF_STORE: [Self; 8] = [
        Self::Throttling,
        Self::InternalError,
        Self::Hang,
        Self::Refused,
        Self::Trickle,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::NotJson,
    ];
}

/// Pause after each byte. It exceeds any timeout: the shortest response has a hundred bytes.
const TRICKLE: Duration = Duration::from_millis(20);

/// Throttling errors of DynamoDB, for a table with provisioned capacity and for one on demand.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const DYNAMODB_THROTTLES: [&str; 2] = [
    "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "com.amazon.coral.availability#ThrottlingException",
];

/// Throttling error of SQS.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const SQS_THROTTLES: &str = "com.amazonaws.sqs#RequestThrottled";

/// Throttling error of EventBridge.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/CommonErrors.html>
const EVENT_BRIDGE_THROTTLES: &str = "ThrottlingException";

/// A proxy on 127.0.0.1. Dropping it ends the proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Keeps the port while there is no listener.
    _port: TcpSocket,
    requests: Arc<AtomicUsize>,
    state: watch::Sender<State>,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    fault: Fault,
    /// Number of requests that pass before the fault.
    after: usize,
    /// Number of changes of the fault.
    changes: usize,
}

impl Proxy {
    /// Starts a proxy in front of an endpoint like `http://127.0.0.1:8000`.
    #[must_use]
    pub fn start(endpoint: &str) -> Self {
        let store = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let port = bind(0).unwrap();
        let address = port.local_addr().unwrap();
        let (state, watched) = watch::channel(State {
            fault: Fault::None,
            after: 0,
            changes: 0,
        });
        let requests = Arc::default();
        let server = tokio::spawn(run(address, store, watched, Arc::clone(&requests)));
        Self {
            address,
            _port: port,
            requests,
            state,
            server,
        }
    }

    /// Its endpoint: `http://127.0.0.1:8001`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the fault, or removes it with [`Fault::None`].
    pub async fn set(&self, fault: Fault) {
        self.set_after(0, fault).await;
    }

    /// Sets the fault after this number of further requests.
    pub async fn set_after(&self, requests: usize, fault: Fault) {
        let after = self.requests() + requests;
        self.state.send_modify(|state| {
            *state = State {
                fault,
                after,
                changes: state.changes + 1,
            }
        });
        while TcpStream::connect(self.address).await.is_ok() == (fault == Fault::Refused) {
            tokio::task::yield_now().await;
        }
    }

    /// Number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A reserved port without a listener.
fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn run(
    address: SocketAddr,
    store: SocketAddr,
    mut state: watch::Receiver<State>,
    requests: Arc<AtomicUsize>,
) {
    loop {
        let listener = bind(address.port()).unwrap().listen(1024).unwrap();
        tokio::select! {
            () = accept(&listener, store, &state, &requests) => {}
            () = refused(state.clone()) => {}
        }
        drop(listener);
        state
            .wait_for(|state| state.fault != Fault::Refused)
            .await
            .ok();
    }
}

async fn accept(
    listener: &TcpListener,
    store: SocketAddr,
    state: &watch::Receiver<State>,
    requests: &Arc<AtomicUsize>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        let requests = Arc::clone(requests);
        tokio::spawn(async move {
            tokio::select! {
                // The cause of the end of a connection does not matter.
                _ = serve(stream, store, &state, &requests) => {}
                () = refused(state.clone()) => {}
            }
        });
    }
}

async fn refused(mut state: watch::Receiver<State>) {
    state
        .wait_for(|state| state.fault == Fault::Refused)
        .await
        .ok();
}

async fn serve(
    client: TcpStream,
    store: SocketAddr,
    state: &watch::Receiver<State>,
    requests: &AtomicUsize,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let born = state.borrow().changes;
    let mut client = BufReader::new(client);
    let mut store = BufReader::new(TcpStream::connect(store).await?);
    loop {
        let request = message(&mut client).await?;
        let count = requests.fetch_add(1, Ordering::Relaxed);
        let State {
            fault,
            after,
            changes,
        } = *state.borrow();
        let fault = match fault {
            _ if count < after => Fault::None,
            Fault::Silent | Fault::Stale if born == changes => Fault::None,
            fault => fault,
        };
        match fault {
            Fault::None | Fault::Refused => {
                let answer = pass(&request, &mut store).await?;
                client.write_all(&answer).await?;
            }
            Fault::Throttling => {
                client
                    .write_all(throttled(&request, count).as_bytes())
                    .await?;
            }
            Fault::InternalError => {
                client
                    .write_all(answer("500 Internal Server Error", "{}").as_bytes())
                    .await?;
            }
            Fault::Hang | Fault::Silent => {
                copy(&mut client, &mut sink()).await?;
                return Ok(());
            }
            Fault::Trickle => {
                for byte in pass(&request, &mut store).await? {
                    client.write_all(&[byte]).await?;
                    sleep(TRICKLE).await;
                }
            }
            Fault::ResetBefore | Fault::Stale => return client.get_ref().set_zero_linger(),
            Fault::ResetAfter => {
                pass(&request, &mut store).await?;
                return client.get_ref().set_zero_linger();
            }
            Fault::NotJson => {
                pass(&request, &mut store).await?;
                client
                    .write_all(answer("200 OK", "<html>Sign in to this network</html>").as_bytes())
                    .await?;
            }
        }
    }
}

async fn pass(request: &[u8], store: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    store.write_all(request).await?;
    message(store).await
}

/// The next message of a connection: its head, and its body of the declared length.
async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut body = 0;
    loop {
        let start = message.len();
        stream.read_until(b'\n', &mut message).await?;
        let line = String::from_utf8_lossy(&message[start..]).to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", length)) => body = length.trim().parse().unwrap(),
            _ if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    let head = message.len();
    message.resize(head + body, 0);
    stream.read_exact(&mut message[head..]).await?;
    Ok(message)
}

fn throttled(request: &[u8], count: usize) -> String {
    let request = String::from_utf8_lossy(request);
    let word = if request.contains("AmazonSQS.") {
        SQS_THROTTLES
    } else if request.contains("AWSEvents.") {
        EVENT_BRIDGE_THROTTLES
    } else {
        DYNAMODB_THROTTLES[count % DYNAMODB_THROTTLES.len()]
    };
    answer(
        "400 Bad Request",
        &format!(r#"{{"__type":"{word}","message":"Rate exceeded"}}"#),
    )
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
