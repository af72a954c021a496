//! A fake AWS with the operations that `hookkeeper doctor` calls and the URLs of a stack:
//! CloudFormation (query protocol, XML), DynamoDB and SQS (JSON), and the receivers.

use aws_smithy_types::{DateTime, date_time::Format};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hookkeeper::template::{TEMPLATE, parse, table_schema};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use testkit::request::basic;
use tokio::{net::TcpListener, task::JoinHandle};

/// Credentials that the receivers accept.
pub(crate) const CREDENTIALS: &str = "user:pass";
pub(crate) const KEY: &str = "Zm9y-dGhl_dGVzdHM";
/// Number of resources in a page.
const PAGE: usize = 30;

/// State of the fake AWS. It starts as a healthy stack of Pipedrive and amoCRM, and a test changes
/// single fields.
#[derive(Debug)]
pub(crate) struct Cloud {
    /// Status of the stack.
    pub(crate) status: &'static str,
    pub(crate) parameters: BTreeMap<&'static str, &'static str>,
    /// The conditions of the template that are true with these parameters.
    pub(crate) conditions: BTreeSet<&'static str>,
    /// The deployed template.
    pub(crate) template: String,
    /// Resources of the template that do not exist.
    pub(crate) missing: BTreeSet<&'static str>,
    /// Output of `DescribeTable`. There is no table with another name.
    pub(crate) table: Value,
    /// The `TableName` of the stack.
    pub(crate) table_name: &'static str,
    pub(crate) time_to_live: Value,
    /// Whether the caller may read items.
    pub(crate) may_query: bool,
    /// Messages of a queue: visible, in flight, delayed.
    pub(crate) fallback_queue: [u32; 3],
    pub(crate) dead_letters: [u32; 3],
    /// Those of the relay's queue, if the stack has one.
    pub(crate) relay_dead_letters: Option<[u32; 3]>,
    /// Status for authenticated requests to a provider's URL, instead of 200.
    pub(crate) status_of: HashMap<&'static str, u16>,
    /// Status for unauthorized requests.
    pub(crate) stranger: u16,
    /// Delays of the responses to the first requests to a provider's URL, in order.
    pub(crate) delays: Mutex<HashMap<&'static str, Vec<Duration>>>,
    /// Number of seconds by which its clock is behind ours.
    pub(crate) behind: i64,
}

impl Cloud {
    pub(crate) fn healthy() -> Self {
        let mut table = table_schema(TEMPLATE, "hookkeeper-Table").unwrap().create;
        table["TableStatus"] = json!("ACTIVE");
        table["GlobalSecondaryIndexes"][0]["IndexStatus"] = json!("ACTIVE");
        Self {
            status: "UPDATE_COMPLETE",
            parameters: [
                ("PipedriveCredentials", "a:b"),
                ("AmocrmCredentials", ""),
                ("AmocrmKeys", "a:b"),
            ]
            .into(),
            conditions: ["UsePipedrive", "UseAmocrm"].into(),
            template: TEMPLATE.to_owned(),
            missing: BTreeSet::new(),
            table,
            table_name: "hookkeeper-Table",
            time_to_live: json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": "expires" }),
            may_query: true,
            fallback_queue: [0; 3],
            dead_letters: [0; 3],
            relay_dead_letters: None,
            status_of: HashMap::new(),
            stranger: 401,
            delays: Mutex::default(),
            behind: 0,
        }
    }

    /// Starts it on a port of its own.
    pub(crate) async fn start(self) -> Running {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .fallback(answer)
            .with_state(std::sync::Arc::new(self));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Running { endpoint, server }
    }

    fn stack(&self, endpoint: &str) -> String {
        let parameters = self.parameters.iter().map(|(name, value)| {
            format!("<member><ParameterKey>{name}</ParameterKey><ParameterValue>{value}</ParameterValue></member>")
        });
        let url = |path: &str| format!("{endpoint}/{path}");
        let outputs = [
            ("PipedriveUrl", url("pipedrive")),
            ("AmocrmUrl", url("amocrm")),
            ("TableName", self.table_name.to_owned()),
            ("FallbackQueueUrl", url("1/spool")),
            ("DeadLetterQueueUrl", url("1/dead")),
        ];
        let of_relay = self
            .relay_dead_letters
            .map(|_| ("RelayDeadLetterQueueUrl", url("1/relay")));
        let outputs = outputs.into_iter().chain(of_relay).map(|(name, value)| {
            format!(
                "<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
            )
        });
        format!(
            "<Stacks><member><StackName>hookkeeper</StackName><CreationTime>2026-11-21T10:00:00Z</CreationTime>\
             <StackStatus>{}</StackStatus><Parameters>{}</Parameters><Outputs>{}</Outputs></member></Stacks>",
            self.status,
            parameters.collect::<String>(),
            outputs.collect::<String>()
        )
    }

    /// A page of the existing resources: those of the template whose conditions are true, and those
    /// that the transform adds.
    fn resources(&self, page: usize) -> String {
        let template = parse(TEMPLATE).unwrap();
        let holds = |it: &Value| {
            it["Condition"]
                .as_str()
                .is_none_or(|name| self.conditions.contains(name))
        };
        let resources = template["Resources"].as_object().unwrap().iter();
        let made = resources
            .filter(|(_, it)| holds(it))
            .map(|(id, _)| &**id)
            .chain(["DrainFunctionSpool"]);
        let there: Vec<_> = made.filter(|id| !self.missing.contains(id)).collect();
        let members = there.iter().skip(page * PAGE).take(PAGE).map(|id| {
            format!(
                "<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>of it</ResourceType>\
                 <ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
                 <LastUpdatedTimestamp>2026-11-21T10:00:00Z</LastUpdatedTimestamp></member>"
            )
        });
        let members: String = members.collect();
        let is_last = (page + 1) * PAGE >= there.len();
        let next = if is_last {
            String::new()
        } else {
            format!("<NextToken>{}</NextToken>", page + 1)
        };
        format!("<StackResourceSummaries>{members}</StackResourceSummaries>{next}")
    }

    fn cloud_formation(&self, endpoint: &str, body: &[u8]) -> Response {
        let request: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        let action = &*request["Action"];
        if request["StackName"] != "hookkeeper" {
            let message = format!("Stack with id {} does not exist", request["StackName"]);
            let error = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>{message}</Message></Error></ErrorResponse>"
            );
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        let result = match action {
            "DescribeStacks" => self.stack(endpoint),
            "GetTemplate" => {
                assert_eq!(request["TemplateStage"], "Original");
                let escaped = self
                    .template
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                format!("<TemplateBody>{escaped}</TemplateBody>")
            }
            "ListStackResources" => self.resources(
                request
                    .get("NextToken")
                    .map_or(0, |page| page.parse().unwrap()),
            ),
            other => panic!("nobody asks CloudFormation for {other}"),
        };
        format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
            .into_response()
    }

    fn dynamodb(&self, operation: &str, request: &Value) -> Response {
        let refuse = |code: &str| {
            let r#type = format!("com.amazonaws.dynamodb.v20120810#{code}");
            let error = json!({ "__type": r#type, "message": "no" });
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        };
        if request["TableName"] != self.table["TableName"] {
            return refuse("ResourceNotFoundException");
        }
        let answer = match operation {
            "DescribeTable" => json!({ "Table": self.table }),
            "DescribeTimeToLive" => json!({ "TimeToLiveDescription": self.time_to_live }),
            "Query" if self.may_query => json!({ "Items": [], "Count": 0 }),
            "Query" => return refuse("AccessDeniedException"),
            other => panic!("nobody asks DynamoDB for {other}"),
        };
        answer.to_string().into_response()
    }

    fn sqs(&self, request: &Value) -> Response {
        let url = request["QueueUrl"].as_str().unwrap();
        let names = ["", "NotVisible", "Delayed"]
            .map(|suffix| format!("ApproximateNumberOfMessages{suffix}"));
        assert_eq!(request["AttributeNames"], json!(names));
        let counts = match url.rsplit('/').next() {
            Some("spool") => self.fallback_queue,
            Some("relay") => self.relay_dead_letters.unwrap(),
            _ => self.dead_letters,
        };
        let attributes: BTreeMap<_, _> = names
            .into_iter()
            .zip(counts.map(|count| count.to_string()))
            .collect();
        json!({ "Attributes": attributes })
            .to_string()
            .into_response()
    }

    async fn receiver(
        &self,
        provider: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> StatusCode {
        let delay = self
            .delays
            .lock()
            .unwrap()
            .get_mut(provider)
            .and_then(|delays| (!delays.is_empty()).then(|| delays.remove(0)));
        tokio::time::sleep(delay.unwrap_or_default()).await;
        let is_known = headers
            .get(header::AUTHORIZATION)
            .is_some_and(|it| *it == basic(CREDENTIALS))
            || (provider != "pipedrive" && uri.query() == Some(&format!("key={KEY}")));
        // As a receiver: a request with neither a body nor a credential checks the URL.
        let shows_none = !headers.contains_key(header::AUTHORIZATION) && uri.query().is_none();
        let status = match (is_known || body.is_empty() && shows_none, method) {
            (true, _) | (_, &Method::GET) => self.status_of.get(provider).copied().unwrap_or(200),
            _ => self.stranger,
        };
        StatusCode::from_u16(status).unwrap()
    }

    fn date(&self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        DateTime::from_secs(i64::try_from(now).unwrap() - self.behind)
            .fmt(Format::HttpDate)
            .unwrap()
    }
}

async fn answer(
    State(cloud): State<std::sync::Arc<Cloud>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let endpoint = format!("http://{}", headers["host"].to_str().unwrap());
    let target = headers
        .get("x-amz-target")
        .map(|it| it.to_str().unwrap().rsplit_once('.').unwrap());
    let json = || serde_json::from_slice(&body).unwrap();
    let response = match (target, uri.path()) {
        (Some(("DynamoDB_20120810", operation)), _) => cloud.dynamodb(operation, &json()),
        (Some(("AmazonSQS", "GetQueueAttributes")), _) => cloud.sqs(&json()),
        (None, "/") if method == Method::POST => cloud.cloud_formation(&endpoint, &body),
        (None, path) => cloud
            .receiver(path.trim_start_matches('/'), &method, &uri, &headers, &body)
            .await
            .into_response(),
        other => panic!("nobody asks for {other:?}"),
    };
    ([("date", cloud.date())], response)
}

/// A running one. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) endpoint: String,
    server: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}
