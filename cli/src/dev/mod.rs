//! Local Hookkeeper: an embedded DynamoDB with the template's table, and all receivers on one port.

pub mod caller;
mod dynamodb;
pub mod gateway;
mod user;

use crate::{
    dev::gateway::MAX_EVENT_BYTES,
    template::{self, TableSchema, TemplateError, has_keys},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use dynoxide::Database;
use ingest::{Authenticator, Receiver, Request, Verdict};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use models::{Delivery, Record};
use providers::Provider;
use serde_json::{Value, json};
use std::{
    fs::{self, File, TryLockError},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{Client, Key, Settings, Store, Stored, Table};
use tokio::{
    net::TcpListener,
    sync::{mpsc::UnboundedSender, watch},
    task::JoinHandle,
};

pub use user::{User, UserError};

/// Name of the local table.
pub const TABLE: &str = "hookkeeper";
/// Default user name and default password of every local receiver, and the label of that
/// credential.
pub const CREDENTIAL: &str = "local";

/// Name of the database file in the data folder.
const FILE: &str = "dynamodb.sqlite";

/// Storage location of the local table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// In memory. The data is lost when the process ends.
    Memory,
    /// In a folder. The data is available to later runs.
    Folder(PathBuf),
}

/// Reason why the local Hookkeeper cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The port is in use, or this user may not listen on it.
    #[error("cannot listen on 127.0.0.1:{port} ({source}): choose another one with {option}")]
    Port {
        /// Port number.
        port: u16,
        /// Command-line option that sets the port.
        option: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Both ports are in use, or this user may not listen on them.
    #[error("{0}; {1}")]
    Ports(Box<Self>, Box<Self>),
    /// The data folder cannot be created or written.
    #[error("cannot store data in {} ({reason}): choose another folder with --data", folder.display())]
    Folder {
        /// Path of the data folder.
        folder: PathBuf,
        /// Error message of the operating system or of the database.
        reason: String,
    },
    /// The database file is damaged, or it is not a database. Contains its path.
    #[error("the data in {} is damaged: delete that file, or choose another folder with --data", .0.display())]
    Damaged(PathBuf),
    /// Another process uses the data folder. Contains its path.
    #[error("another `cargo dev` uses the data in {}: stop that one, or choose another folder with --data", .0.display())]
    InUse(PathBuf),
    /// The template does not define a usable table.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// DynamoDB rejects the template's table. Contains its error message.
    #[error("DynamoDB rejects the table of the template: {0}")]
    Refused(String),
    /// The data folder contains a table with another schema. Contains its path.
    #[error("the data in {} is of a table with another schema: move it away, or choose another folder with --data", .0.display())]
    OtherSchema(PathBuf),
}

/// Embedded DynamoDB with the template's table, served over HTTP on 127.0.0.1. The server stops
/// when this value is dropped.
#[derive(Debug)]
pub struct DynamoDb {
    server: Server,
    /// Lock on the data folder.
    _lock: Option<File>,
}

impl DynamoDb {
    /// Starts DynamoDB on a port (0: any free port), with the table of a template.
    ///
    /// # Errors
    /// Any [`LocalError`] except [`LocalError::Ports`].
    pub async fn start(data: &Data, port: u16, template: &str) -> Result<Self, LocalError> {
        let schema = template::table_schema(template, TABLE)?;
        let listener = listen(port, "--dynamodb-port").await?;
        let lock = lock(data)?;
        let database = prepare(data, &schema).map_err(|error| damaged(error, data))?;
        Ok(Self {
            server: Server::start(listener, dynamodb::router(database)),
            _lock: lock,
        })
    }

    /// Endpoint URL: `http://127.0.0.1:8000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Port number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// Storage settings for the table of this DynamoDB.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::local(TABLE, self.endpoint())
    }

    /// Stops the server after the requests in progress.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Checks that both ports can be listened on. The error names both if neither can, so that a user
/// chooses only once.
///
/// # Errors
/// - [`LocalError::Port`]: one of the ports cannot be listened on.
/// - [`LocalError::Ports`]: neither of the ports can be listened on.
pub async fn check_ports(gateway: u16, dynamodb: u16) -> Result<(), LocalError> {
    let gateway = listen(gateway, "--port").await.err();
    let dynamodb = listen(dynamodb, "--dynamodb-port").await.err();
    match (gateway, dynamodb) {
        (None, None) => Ok(()),
        (Some(error), None) | (None, Some(error)) => Err(error),
        (Some(gateway), Some(dynamodb)) => {
            Err(LocalError::Ports(Box::new(gateway), Box::new(dynamodb)))
        }
    }
}

/// HTTP server on 127.0.0.1. It stops when this value is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts a server on a port (0: any free port), which the command's option `--port` sets.
    ///
    /// # Errors
    /// [`LocalError::Port`].
    pub async fn listen(port: u16, app: Router) -> Result<Self, LocalError> {
        Ok(Self::start(listen(port, "--port").await?, app))
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn start((listener, address): (TcpListener, SocketAddr), app: Router) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let serve = axum::serve(listener, app).with_graceful_shutdown(async move {
            // Resolves when `stop` is sent, or when its sender is dropped.
            stopped.wait_for(|stop| *stop).await.ok();
        });
        Self {
            address,
            stop,
            task: tokio::spawn(serve.into_future()),
        }
    }

    /// Stops the server after the requests in progress.
    pub async fn stop(self) {
        self.stop.send(true).ok();
        self.task.await.ok();
    }
}

/// Listens on a port of 127.0.0.1 (0: any free port). `option` sets the port.
async fn listen(port: u16, option: &'static str) -> Result<(TcpListener, SocketAddr), LocalError> {
    bind(port).await.map_err(|source| LocalError::Port {
        port,
        option,
        source,
    })
}

async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Locks the data folder against other processes. The lock lasts as long as the returned file is
/// open.
fn lock(data: &Data) -> Result<Option<File>, LocalError> {
    let Data::Folder(folder) = data else {
        return Ok(None);
    };
    fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    let file = File::create(folder.join("lock")).map_err(|error| unusable(folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(LocalError::InUse(folder.clone())),
        Err(TryLockError::Error(error)) => Err(unusable(folder, &error)),
    }
}

fn unusable(folder: &Path, error: &impl ToString) -> LocalError {
    LocalError::Folder {
        folder: folder.to_owned(),
        reason: error.to_string(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes a value")]
fn refused(error: impl ToString) -> LocalError {
    LocalError::Refused(error.to_string())
}

/// Opens the database, and creates the table if it does not exist.
fn prepare(data: &Data, schema: &TableSchema) -> Result<Database, LocalError> {
    let database = open(data)?;
    create_table(&database, schema, data)?;
    Ok(database)
}

/// Recognizes the errors of a damaged file: the messages of SQLite and of dynoxide do not help a
/// user.
fn damaged(error: LocalError, data: &Data) -> LocalError {
    let Data::Folder(folder) = data else {
        return error;
    };
    match error {
        LocalError::Folder { reason, .. } | LocalError::Refused(reason)
            if is_of_a_damaged_file(&reason) =>
        {
            LocalError::Damaged(folder.join(FILE))
        }
        error => error,
    }
}

fn is_of_a_damaged_file(reason: &str) -> bool {
    [
        "malformed",
        "is not a database",
        "not a valid SQLite database",
    ]
    .iter()
    .any(|words| reason.contains(words))
}

fn open(data: &Data) -> Result<Database, LocalError> {
    match data {
        Data::Memory => Database::memory().map_err(refused),
        Data::Folder(folder) => Database::new(&folder.join(FILE).to_string_lossy())
            .map_err(|error| unusable(folder, &error)),
    }
}

fn create_table(database: &Database, schema: &TableSchema, data: &Data) -> Result<(), LocalError> {
    let describe = serde_json::from_value(json!({ "TableName": TABLE })).map_err(refused)?;
    if let Ok(described) = database.describe_table(describe) {
        let described = serde_json::to_value(described).map_err(refused)?;
        let table = described.get("Table").unwrap_or(&Value::Null);
        return match data {
            _ if has_keys(table, &schema.create) => Ok(()),
            Data::Memory => Err(LocalError::OtherSchema("memory".into())),
            Data::Folder(folder) => Err(LocalError::OtherSchema(folder.clone())),
        };
    }
    let create = serde_json::from_value(schema.create.clone()).map_err(refused)?;
    database.create_table(create).map_err(refused)?;
    if let Some(time_to_live) = &schema.time_to_live {
        let update = serde_json::from_value(time_to_live.clone()).map_err(refused)?;
        database.update_time_to_live(update).map_err(refused)?;
    }
    Ok(())
}

/// All receivers on one port, served over HTTP on 127.0.0.1 as API Gateway would call them. The
/// server stops when this value is dropped.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
}

/// A request that a receiver answered.
#[derive(Debug)]
pub struct Answered {
    /// Name of the provider.
    pub provider: &'static str,
    /// Outcome.
    pub verdict: Verdict,
    /// Time from the request to the response.
    pub latency: Duration,
    /// Its first event or quarantined item, if that is in the table.
    pub first: Option<Stored>,
    /// The log line of the function on AWS.
    pub log_line: String,
}

impl Gateway {
    /// Starts the receivers on a port (0: any free port), for one user, with the table of these
    /// settings, beside a page that has all other paths. `log` gets a value for each request to a
    /// receiver.
    ///
    /// # Errors
    /// [`LocalError::Port`].
    pub async fn start(
        port: u16,
        user: &User,
        settings: &Settings,
        log: UnboundedSender<Answered>,
        page: Router,
    ) -> Result<Self, LocalError> {
        let client = Client::background();
        let store = Store::new(&client, settings);
        let mut app = Router::new();
        for provider in providers::ALL {
            let gate = Authenticator::for_user(CREDENTIAL, user.name(), user.password());
            let local = Local {
                receiver: Receiver::new(provider, gate, store.clone()),
                provider,
                table: Table::new(&client, settings),
                log: log.clone(),
            };
            app = app.merge(routes(local));
        }
        let app = app
            .layer(DefaultBodyLimit::max(2 * MAX_EVENT_BYTES))
            .layer(middleware::from_fn(caller::refuse_web_pages))
            .fallback_service(page);
        Ok(Self {
            server: Server::listen(port, app).await?,
        })
    }

    /// Port number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// URL of the page: `http://127.0.0.1:9000/`.
    #[must_use]
    pub fn page_url(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    /// Webhook URL of a provider.
    #[must_use]
    pub fn url(&self, provider: &str) -> String {
        format!("http://{}/{provider}", self.server.address)
    }

    /// Stops the server after the requests in progress.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// A provider's receiver.
#[derive(Debug)]
struct Local {
    provider: Provider,
    receiver: Receiver,
    table: Table,
    log: UnboundedSender<Answered>,
}

/// Routes `/<provider>`, and `/<provider>/` followed by anything, as the template does.
fn routes(local: Local) -> Router {
    let path = format!("/{}", local.provider.name);
    Router::new()
        .route(&path, any(receive))
        .route(&format!("{path}/"), any(receive))
        .route(&format!("{path}/{{*rest}}"), any(receive))
        .with_state(Arc::new(local))
}

async fn receive(
    State(local): State<Arc<Local>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let event = gateway::event(&method, &uri, &headers, &body);
    if event
        .body
        .as_ref()
        .is_some_and(|body| body.len() > MAX_EVENT_BYTES)
    {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            r#"{"message":"Request Entity Too Large"}"#,
        )
            .into_response();
    }
    let started = Instant::now();
    let key = first_key(&local.provider, &event, &body);
    let (verdict, log_line) = local.receiver.receive_unlogged(event).await;
    let latency = started.elapsed();
    let response = gateway::response(verdict.response());
    let is_in_table = matches!(
        verdict,
        Verdict::Stored { .. } | Verdict::Quarantined { .. }
    );
    let first = match key {
        Some(key) if is_in_table => local.table.get(&key).await.ok().flatten(),
        _ => None,
    };
    // Only fails if nobody prints it any more.
    let answered = Answered {
        provider: local.provider.name,
        verdict,
        latency,
        first,
        log_line,
    };
    local.log.send(answered).ok();
    response
}

/// Key of the first event or quarantined item of a delivery.
fn first_key(provider: &Provider, event: &ApiGatewayV2httpRequest, body: &Bytes) -> Option<Key> {
    let request = Request::from_event(event.clone(), provider.request_id_header);
    let delivery = Delivery {
        body: body.to_vec(),
        origin: request.origin().clone(),
    };
    let parsed = (provider.parse)(&delivery);
    let records = Record::from_delivery(provider.name, &delivery, parsed);
    let mut items = records
        .iter()
        .filter(|record| !matches!(record, Record::Body { .. }));
    items.next().map(Key::from_record)
}
