//! A whole Hookkeeper on this machine: an embedded DynamoDB with the template's table, and all receivers on one port.

mod caller;
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
};
use dynoxide::Database;
use ingest::{Authenticator, Receiver};
use serde_json::Value;
use std::{
    fs::{self, File, TryLockError},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};
use storage::{Client, Settings, Store};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use user::{User, UserError};

/// The table's name here.
pub const TABLE: &str = "hookkeeper";
/// The user name, the password, and their label, that every receiver accepts here unless it is given others.
pub const CREDENTIAL: &str = "local";

/// The file of the records, in their folder.
const FILE: &str = "dynamodb.sqlite";

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// In memory: gone when the process ends.
    Memory,
    /// In a folder, kept between runs.
    Folder(PathBuf),
}

/// Why Hookkeeper cannot start here.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A port is taken, or not ours to take.
    #[error("cannot listen on 127.0.0.1:{port} ({source}): choose another one with {option}")]
    Port {
        /// The port.
        port: u16,
        /// The option that sets it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Both ports are taken, or not ours to take.
    #[error("{0}; {1}")]
    Ports(Box<Self>, Box<Self>),
    /// The folder for the records cannot be made or written.
    #[error("cannot keep data in {} ({reason}): choose another folder with --data", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system or the database said.
        reason: String,
    },
    /// The file of the records is no database, or a broken one.
    #[error("the data in {} is damaged: delete that file, or choose another folder with --data", .0.display())]
    Damaged(PathBuf),
    /// Another process has the folder.
    #[error("another `cargo dev` uses the data in {}: end that one, or choose another folder with --data", .0.display())]
    InUse(PathBuf),
    /// The template has no table for us.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// DynamoDB refuses the template's table.
    #[error("DynamoDB refuses the template's table: {0}")]
    Refused(String),
    /// The folder holds a table with another schema.
    #[error("the data in {} is of a table with another schema: move it away, or choose another folder with --data", .0.display())]
    OtherSchema(PathBuf),
}

/// An embedded DynamoDB with the template's table, over HTTP on 127.0.0.1. Ends when it is dropped.
#[derive(Debug)]
pub struct DynamoDb {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
    /// Held while the folder is in use.
    _lock: Option<File>,
}

impl DynamoDb {
    /// Starts it on a port (0: any that is free), with the table of a template.
    ///
    /// # Errors
    /// As [`LocalError`] lists.
    pub async fn start(data: &Data, port: u16, template: &str) -> Result<Self, LocalError> {
        let schema = template::table_schema(template, TABLE)?;
        let listener = listen(port, "--dynamodb-port").await?;
        let lock = lock(data)?;
        let database = prepare(data, &schema).map_err(|error| damaged(error, data))?;
        let (stop, mut stopped) = watch::channel(false);
        let address = listener.local_addr().map_err(|source| LocalError::Port {
            port,
            option: "--dynamodb-port",
            source,
        })?;
        let serve =
            axum::serve(listener, dynamodb::router(database)).with_graceful_shutdown(async move {
                // Ends when the sender says so, or is dropped.
                stopped.wait_for(|stop| *stop).await.ok();
            });
        Ok(Self {
            address,
            stop,
            server: tokio::spawn(serve.into_future()),
            _lock: lock,
        })
    }

    /// Its endpoint: `http://127.0.0.1:8000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The settings of a table in it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::local(TABLE, self.endpoint())
    }

    /// Ends it, once what it is doing is done.
    pub async fn stop(self) {
        self.stop.send(true).ok();
        self.server.await.ok();
    }
}

/// Fails if one of the ports cannot be listened on. Names both if neither can, so that a user chooses once.
///
/// # Errors
/// [`LocalError::Port`] and [`LocalError::Ports`].
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

async fn listen(port: u16, option: &'static str) -> Result<TcpListener, LocalError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|source| LocalError::Port {
        port,
        option,
        source,
    })
}

/// Keeps the folder from another process, as long as the file that is returned is open.
fn lock(data: &Data) -> Result<Option<File>, LocalError> {
    let Data::Folder(folder) = data else {
        return Ok(None);
    };
    let refused = |error: io::Error| LocalError::Folder {
        folder: folder.clone(),
        reason: error.to_string(),
    };
    fs::create_dir_all(folder).map_err(refused)?;
    let file = File::create(folder.join("lock")).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(LocalError::InUse(folder.clone())),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// The database, with the table in it.
fn prepare(data: &Data, schema: &TableSchema) -> Result<Database, LocalError> {
    let database = open(data)?;
    create_table(&database, schema, data)?;
    Ok(database)
}

/// What a damaged file leads to is said in SQLite's words, and dynoxide's: they are no help here.
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
    let Data::Folder(folder) = data else {
        return Database::memory().map_err(|error| LocalError::Refused(error.to_string()));
    };
    let refused = |reason: String| LocalError::Folder {
        folder: folder.clone(),
        reason,
    };
    let file = folder.join(FILE);
    Database::new(&file.to_string_lossy()).map_err(|error| refused(error.to_string()))
}

fn create_table(database: &Database, schema: &TableSchema, data: &Data) -> Result<(), LocalError> {
    let refused = |error: String| LocalError::Refused(error);
    let folder = |data: &Data| match data {
        Data::Memory => Path::new("memory").to_owned(),
        Data::Folder(folder) => folder.clone(),
    };
    let describe = serde_json::from_value(serde_json::json!({ "TableName": TABLE }));
    let described = database.describe_table(describe.map_err(|error| refused(error.to_string()))?);
    if let Ok(described) = described {
        let described =
            serde_json::to_value(described).map_err(|error| refused(error.to_string()))?;
        return if has_keys(
            described.get("Table").unwrap_or(&Value::Null),
            &schema.create,
        ) {
            Ok(())
        } else {
            Err(LocalError::OtherSchema(folder(data)))
        };
    }
    let create = serde_json::from_value(schema.create.clone())
        .map_err(|error| refused(error.to_string()))?;
    database
        .create_table(create)
        .map_err(|error| refused(error.to_string()))?;
    if let Some(time_to_live) = &schema.time_to_live {
        let update = serde_json::from_value(time_to_live.clone())
            .map_err(|error| refused(error.to_string()))?;
        database
            .update_time_to_live(update)
            .map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

/// All receivers on one port, over HTTP on 127.0.0.1, as API Gateway would call them. Ends when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
}

impl Gateway {
    /// Starts it on a port (0: any that is free), for one user, over the table of these settings.
    ///
    /// # Errors
    /// [`LocalError::Port`].
    pub async fn start(port: u16, user: &User, settings: &Settings) -> Result<Self, LocalError> {
        let listener = listen(port, "--port").await?;
        let address = listener.local_addr().map_err(|source| LocalError::Port {
            port,
            option: "--port",
            source,
        })?;
        let store = Store::new(&Client::background(), settings);
        let receivers = providers::ALL.map(|provider| {
            let gate = Authenticator::basic(CREDENTIAL, user.name(), user.password());
            (provider.name, Receiver::new(provider, gate, store.clone()))
        });
        let limit = DefaultBodyLimit::max(2 * MAX_EVENT_BYTES);
        let app = Router::new().fallback(route).layer(limit);
        let app = app
            .layer(middleware::from_fn(caller::refuse_web_pages))
            .with_state(Arc::new(receivers));
        let (stop, mut stopped) = watch::channel(false);
        let serve = axum::serve(listener, app).with_graceful_shutdown(async move {
            stopped.wait_for(|stop| *stop).await.ok();
        });
        Ok(Self {
            address,
            stop,
            server: tokio::spawn(serve.into_future()),
        })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL that a provider would be given.
    #[must_use]
    pub fn url(&self, provider: &str) -> String {
        format!("http://{}/{provider}", self.address)
    }

    /// Ends it, once what it is doing is done.
    pub async fn stop(self) {
        self.stop.send(true).ok();
        self.server.await.ok();
    }
}

type Receivers = Arc<[(&'static str, Receiver); providers::ALL.len()]>;

/// `/<provider>`, and `/<provider>/` with anything behind it, as the template routes them.
async fn route(
    State(receivers): State<Receivers>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = uri
        .path()
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let Some((_, receiver)) = receivers.iter().find(|(provider, _)| *provider == name) else {
        return (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#).into_response();
    };
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
    gateway::response(receiver.answer(event).await)
}
