//! A stack on this machine that can be updated: CloudFormation (query protocol), Systems Manager and
//! the queues' attributes (JSON) and the receivers, on one port. The receivers accept what the stack's parameters say.

use crate::{dev::hookkeeper, site::Site};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use hookkeeper::{
    dev::{TABLE, gateway},
    template::{TEMPLATE, logical_name, parse},
};
use ingest::{Authenticator, Receiver};
use providers::Provider;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};
use storage::{Client, Store};
use tokio::{net::TcpListener, task::JoinHandle};

/// Number of descriptions of the stack that say that an update is in progress.
const UPDATE: usize = 1;
/// Number of requests after an update in which every second one is served by an execution
/// environment from before it.
const OLD_ENVIRONMENTS: usize = 2;

type Parameters = BTreeMap<String, String>;

/// A running stack. Dropping it ends its server.
#[derive(Debug)]
pub struct LiveStack {
    /// Its endpoint of AWS: `http://127.0.0.1:8005`.
    pub endpoint: String,
    /// Its table.
    pub site: Site,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    endpoint: String,
    store: Store,
    state: Mutex<StackState>,
}

/// Parameters of the stack, and secrets beside it.
#[derive(Debug, Default)]
pub struct StackState {
    /// Values of the parameters.
    pub parameters: Parameters,
    /// Number of messages in the fallback queue.
    pub waiting: usize,
    /// SecureString parameters of Systems Manager.
    pub secrets: BTreeMap<String, String>,
    /// Number of updates so far.
    pub updates: usize,
    /// Whether the next update fails and is rolled back.
    pub rolls_back: bool,
    /// Descriptions that still say that the update is in progress.
    updating: usize,
    is_rolled_back: bool,
    /// Parameters before the last update.
    before: Parameters,
    /// Requests of which every second one is served with the parameters before the last update.
    old_requests: usize,
}

impl LiveStack {
    /// Starts a stack with these values of the template's parameters, and the defaults of the
    /// others.
    pub async fn start(values: &[(&str, &str)]) -> Self {
        let site = Site::start().await;
        let template = parse(TEMPLATE).unwrap();
        let defaults = template["Parameters"].as_object().unwrap().iter();
        let mut parameters: Parameters = defaults
            .map(|(name, parameter)| (name.clone(), text(&parameter["Default"])))
            .collect();
        for (name, value) in values {
            parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            endpoint: endpoint.clone(),
            store: Store::new(&Client::background(), &site.settings()),
            state: Mutex::new(StackState {
                parameters,
                ..StackState::default()
            }),
        });
        let app = Router::new().fallback(answer);
        let app = app.with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            endpoint,
            site,
            shared,
            server,
        }
    }

    /// Its parameters and secrets.
    pub fn state(&self) -> MutexGuard<'_, StackState> {
        self.shared.state.lock().unwrap()
    }

    /// The command for this stack.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_through(&self.endpoint, &self.site.endpoint(), arguments)
    }

    /// The command for this stack, with other endpoints of AWS and of the table.
    #[must_use]
    pub fn command_through(&self, aws: &str, table: &str, arguments: &[&str]) -> Command {
        let mut command = hookkeeper(arguments);
        command.env_clear().envs([
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", aws),
            ("AWS_ENDPOINT_URL_DYNAMODB", table),
        ]);
        command
    }
}

impl Drop for LiveStack {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StackState {
    /// The parameters that a request is served with.
    fn serving(&mut self) -> &Parameters {
        self.old_requests = self.old_requests.saturating_sub(1);
        if self.updating > 0 || self.old_requests % 2 == 1 {
            &self.before
        } else {
            &self.parameters
        }
    }

    fn describe(&mut self, endpoint: &str) -> String {
        let status = match self.updating {
            0 if self.is_rolled_back => "UPDATE_ROLLBACK_COMPLETE",
            0 => "UPDATE_COMPLETE",
            _ => "UPDATE_IN_PROGRESS",
        };
        self.updating = self.updating.saturating_sub(1);
        let urls = urls(&self.parameters, endpoint);
        let outputs = [
            ("TableName".to_owned(), TABLE.to_owned()),
            (
                "FallbackQueueUrl".to_owned(),
                format!("{endpoint}/fallback"),
            ),
            (
                "DeadLetterQueueUrl".to_owned(),
                format!("{endpoint}/dead-letters"),
            ),
        ];
        let outputs = outputs.into_iter().chain(urls);
        let outputs: String = outputs.map(|pair| member("Output", &pair)).collect();
        let parameters = self.parameters.clone().into_iter();
        let parameters: String = parameters.map(|pair| member("Parameter", &pair)).collect();
        format!(
            "<Stacks><member><StackName>hookkeeper</StackName>\
             <CreationTime>2026-11-21T10:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
             <Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks>"
        )
    }

    /// Executes `UpdateStack`.
    ///
    /// # Errors
    /// Code and message.
    fn update(&mut self, request: &HashMap<String, String>) -> Result<String, [&'static str; 2]> {
        let capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];
        let is_given = |name: &&str| request.values().any(|value| value == name);
        if !capabilities.iter().all(is_given) {
            return Err(["InsufficientCapabilities", "Requires capabilities"]);
        }
        if request.get("UsePreviousTemplate").map(String::as_str) != Some("true") {
            return Err([
                "ValidationError",
                "Either Template URL or Body must be specified",
            ]);
        }
        if self.updating > 0 {
            return Err(["ValidationError", "Stack is in UPDATE_IN_PROGRESS state"]);
        }
        let mut new = Parameters::new();
        for number in 1.. {
            let field = |name| request.get(&format!("Parameters.member.{number}.{name}"));
            let Some(name) = field("ParameterKey") else {
                break;
            };
            let value = match field("UsePreviousValue").map(String::as_str) {
                Some("true") => &self.parameters[name],
                _ => field("ParameterValue").unwrap(),
            };
            new.insert(name.clone(), value.clone());
        }
        // As if it had no value: the default, which no test wants.
        assert!(
            new.keys().eq(self.parameters.keys()),
            "a parameter would be reset"
        );
        if new == self.parameters {
            return Err(["ValidationError", "No updates are to be performed."]);
        }
        self.updates += 1;
        self.updating = UPDATE;
        self.is_rolled_back = std::mem::take(&mut self.rolls_back);
        if !self.is_rolled_back {
            self.before = std::mem::replace(&mut self.parameters, new);
            self.old_requests = OLD_ENVIRONMENTS * 2;
        }
        Ok("<StackId>hookkeeper</StackId>".to_owned())
    }

    /// Executes an operation of Systems Manager.
    ///
    /// # Errors
    /// The error code.
    fn secrets(&mut self, operation: &str, request: &Value) -> Result<Value, &'static str> {
        let name = text(&request["Name"]);
        match operation {
            "GetParameter" => {
                let value = self.secrets.get(&name).ok_or("ParameterNotFound")?;
                Ok(json!({ "Parameter": secret(&name, value) }))
            }
            "GetParametersByPath" => {
                let path = format!("{}/", text(&request["Path"]).trim_end_matches('/'));
                let below = self.secrets.iter();
                let below = below.filter(|(name, _)| name.starts_with(&path));
                let below: Vec<_> = below.map(|(name, value)| secret(name, value)).collect();
                Ok(json!({ "Parameters": below }))
            }
            "PutParameter" => {
                assert_eq!(request["Type"], "SecureString");
                if self.secrets.contains_key(&name) && request["Overwrite"] != true {
                    return Err("ParameterAlreadyExists");
                }
                self.secrets.insert(name, text(&request["Value"]));
                Ok(json!({ "Version": 1, "Tier": "Standard" }))
            }
            "DeleteParameter" => {
                self.secrets.remove(&name).ok_or("ParameterNotFound")?;
                Ok(json!({}))
            }
            other => panic!("no {other} is known"),
        }
    }
}

fn secret(name: &str, value: &str) -> Value {
    json!({ "Name": name, "Type": "SecureString", "Value": value, "Version": 1 })
}

/// The outputs with the URL of each provider that has a credential.
#[must_use]
pub fn urls(parameters: &BTreeMap<String, String>, endpoint: &str) -> Vec<(String, String)> {
    let deployed = providers::ALL.iter().filter(|provider| {
        let kinds = ["Credentials", "Keys"].map(|kind| logical_name(provider.name, kind));
        let mut values = kinds.iter().filter_map(|name| parameters.get(name));
        values.any(|value| !value.is_empty())
    });
    let urls = deployed.map(|provider| {
        let url = format!("{endpoint}/{}", provider.name);
        (logical_name(provider.name, "Url"), url)
    });
    urls.collect()
}

/// A parameter or an output of a stack, as CloudFormation describes it.
#[must_use]
pub fn member(kind: &str, (name, value): &(String, String)) -> String {
    format!("<member><{kind}Key>{name}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
}

/// A scalar of a template as text.
#[must_use]
pub fn text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut all = providers::ALL.into_iter();
    if let Some(provider) = all.find(|provider| uri.path() == format!("/{}", provider.name)) {
        let event = gateway::event(&method, &uri, &headers, &body);
        return match shared.receiver(provider) {
            Some(receiver) => gateway::response(receiver.answer(event).await),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    if let Some(target) = headers.get("x-amz-target") {
        let target = target.to_str().unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let mut state = shared.state.lock().unwrap();
        if target == "AmazonSQS.GetQueueAttributes" {
            let is_fallback = text(&request["QueueUrl"]).ends_with("/fallback");
            let count = if is_fallback { state.waiting } else { 0 };
            let count = json!({ "ApproximateNumberOfMessages": count.to_string() });
            return json!({ "Attributes": count }).to_string().into_response();
        }
        let operation = target.strip_prefix("AmazonSSM.").unwrap();
        return match state.secrets(operation, &request) {
            Ok(body) => body.to_string().into_response(),
            Err(code) => {
                let error = json!({ "__type": code, "message": code });
                (StatusCode::BAD_REQUEST, error.to_string()).into_response()
            }
        };
    }
    shared.cloud_formation(&body)
}

impl Shared {
    /// The receiver of a provider, as an execution environment has it. `None`: the stack has none.
    fn receiver(&self, provider: Provider) -> Option<Receiver> {
        let mut state = self.state.lock().unwrap();
        let parameters = state.serving();
        let [credentials, keys] = ["Credentials", "Keys"].map(|kind| {
            let value = parameters.get(&logical_name(provider.name, kind));
            value.cloned().unwrap_or_default()
        });
        let authenticator = Authenticator::new(&provider, &credentials, &keys).ok()?;
        Some(Receiver::new(provider, authenticator, self.store.clone()).silent())
    }

    fn cloud_formation(&self, body: &[u8]) -> Response {
        let request: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        let action = &*request["Action"];
        let mut state = self.state.lock().unwrap();
        let result = match action {
            _ if request["StackName"] != "hookkeeper" => Err([
                "ValidationError",
                "Stack with id of that name does not exist",
            ]),
            "DescribeStacks" => Ok(state.describe(&self.endpoint)),
            "UpdateStack" => state.update(&request),
            other => panic!("no {other} is known"),
        };
        match result {
            Ok(result) => {
                let result = format!("<{action}Result>{result}</{action}Result>");
                format!("<{action}Response>{result}</{action}Response>").into_response()
            }
            Err([code, message]) => {
                let error = format!("<Code>{code}</Code><Message>{message}</Message>");
                let error = format!("<Error><Type>Sender</Type>{error}</Error>");
                let error = format!("<ErrorResponse>{error}</ErrorResponse>");
                (StatusCode::BAD_REQUEST, error).into_response()
            }
        }
    }
}
