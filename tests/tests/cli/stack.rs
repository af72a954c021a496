//! A fake stack: CloudFormation (query protocol, XML), and SQS (JSON) with its queues. The table is a
//! [`Site`]'s, and the event bus a test's.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    process::{Command, Output},
    sync::{Arc, Mutex},
};
use testkit::{dev::hookkeeper, site::Site};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, block_in_place},
};

/// The name of the event bus.
pub(crate) const BUS: &str = "crm";

/// Messages by queue: `fallback`, `dead`, `relay-dead`, and any other that a test names.
type Messages = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// State of the server.
#[derive(Debug, Clone)]
struct Shared {
    messages: Messages,
    /// Messages that were received, and not made visible again, by queue and text.
    hidden: Arc<Mutex<BTreeSet<[String; 2]>>>,
    has_bus: bool,
}

/// A running stack. Dropping it ends its server.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) endpoint: String,
    /// The endpoint of its event bus, if it has one.
    bus: Option<String>,
    messages: Messages,
    server: JoinHandle<()>,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts a stack whose event bus has this endpoint.
    pub(crate) async fn with_bus(endpoint: &str) -> Self {
        Self::start_with(Some(endpoint.to_owned())).await
    }

    async fn start_with(bus: Option<String>) -> Self {
        let messages = Messages::default();
        let shared = Shared {
            messages: Arc::clone(&messages),
            hidden: Arc::default(),
            has_bus: bus.is_some(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            endpoint,
            bus,
            messages,
            server,
        }
    }

    pub(crate) fn push(&self, queue: &str, body: &str) {
        let mut messages = self.messages.lock().unwrap();
        messages
            .entry(queue.to_owned())
            .or_default()
            .push(body.to_owned());
    }

    pub(crate) fn messages(&self, queue: &str) -> Vec<String> {
        let messages = self.messages.lock().unwrap();
        messages.get(queue).cloned().unwrap_or_default()
    }

    /// Runs the command for this stack and the table of a site.
    pub(crate) fn output(&self, site: &Site, arguments: &[&str]) -> Output {
        let mut command: Command = hookkeeper(arguments);
        command.env_clear().envs([
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_ENDPOINT_URL_DYNAMODB", &*site.endpoint()),
        ]);
        if let Some(bus) = &self.bus {
            command.env("AWS_ENDPOINT_URL_EVENTBRIDGE", bus);
        }
        block_in_place(|| command.output().unwrap())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let host = headers["host"].to_str().unwrap();
    let Some(target) = headers.get("x-amz-target") else {
        return describe(host, shared.has_bus).into_response();
    };
    let request: Value = serde_json::from_slice(&body).unwrap();
    let operation = target.to_str().unwrap().strip_prefix("AmazonSQS.").unwrap();
    let url = request["QueueUrl"].as_str().unwrap();
    let queue = url.rsplit('/').next().unwrap();
    let mut messages = shared.messages.lock().unwrap();
    let messages = messages.entry(queue.to_owned()).or_default();
    let answer = match operation {
        "GetQueueAttributes" => {
            json!({ "Attributes": { "ApproximateNumberOfMessages": messages.len().to_string() } })
        }
        "ReceiveMessage" => {
            let mut hidden = shared.hidden.lock().unwrap();
            let visible = messages
                .iter()
                .filter(|body| hidden.insert([queue.to_owned(), (*body).clone()]));
            let received: Vec<_> = visible
                .take(10)
                .map(|body| json!({ "MessageId": body, "ReceiptHandle": body, "Body": body }))
                .collect();
            json!({ "Messages": received })
        }
        "SendMessage" if request["MessageBody"] == "refused" => {
            let error = json!({ "__type": "com.amazonaws.sqs#InternalFailure" });
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        "SendMessage" => {
            messages.push(request["MessageBody"].as_str().unwrap().to_owned());
            json!({ "MessageId": "1" })
        }
        "ChangeMessageVisibility" => {
            assert_eq!(request["VisibilityTimeout"], 0);
            let handle = request["ReceiptHandle"].as_str().unwrap().to_owned();
            let mut hidden = shared.hidden.lock().unwrap();
            hidden.remove(&[queue.to_owned(), handle]);
            json!({})
        }
        "DeleteMessage" => {
            let handle = request["ReceiptHandle"].as_str().unwrap();
            messages.retain(|body| body != handle);
            json!({})
        }
        other => panic!("no {other} is known"),
    };
    answer.to_string().into_response()
}

/// The answer of `DescribeStacks`.
fn describe(host: &str, has_bus: bool) -> String {
    let mut outputs = vec![
        ("TableName", hookkeeper::dev::TABLE.to_owned()),
        ("FallbackQueueUrl", format!("http://{host}/1/fallback")),
        ("DeadLetterQueueUrl", format!("http://{host}/1/dead")),
    ];
    if has_bus {
        outputs.push(("EventBusName", BUS.to_owned()));
        let queue = format!("http://{host}/1/relay-dead");
        outputs.push(("RelayDeadLetterQueueUrl", queue));
    }
    let outputs = outputs.into_iter().map(|(name, value)| {
        format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
    });
    let outputs: String = outputs.collect();
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>hookkeeper</StackName>\
         <CreationTime>2026-11-21T10:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>\
         <Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
}
