//! CloudFormation (query protocol, XML) with change sets, and the objects of S3, on one port. It reads templates and
//! code from its own S3, as AWS does.

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hookkeeper::template::parse;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};
use testkit::{
    dev::hookkeeper,
    live_stack::{member, text, urls},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The account, which owns the bucket.
const ACCOUNT: &str = "123456789012";
/// The bucket of the stack `hookkeeper-code`.
pub(crate) const BUCKET: &str = "hookkeeper-code-bucket-x7k2";
/// Number of changes in a page of a change set.
const PAGE: usize = 60;
/// Number of descriptions of a stack that say that it is being created or updated.
const IN_PROGRESS: usize = 2;

type Fields = HashMap<String, String>;

/// AWS on this machine. Dropping it ends its server.
#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) endpoint: String,
    state: Arc<Mutex<Account>>,
    server: JoinHandle<()>,
}

/// What the account has.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) stacks: BTreeMap<String, Stack>,
    /// Objects by `bucket/key`.
    pub(crate) objects: BTreeMap<String, Bytes>,
    /// Keys of the uploaded objects, in order.
    pub(crate) uploads: Vec<String>,
    /// Actions of CloudFormation, in order.
    pub(crate) actions: Vec<String>,
    /// Everything that requests contained.
    pub(crate) received: String,
    /// The resource that fails in the next execution, and the reason.
    pub(crate) fails: Option<[&'static str; 2]>,
    /// Whether executions never end.
    pub(crate) hangs: bool,
}

/// A stack.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stack {
    pub(crate) status: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) template: String,
    pub(crate) is_protected: bool,
    /// Events, the newest first: logical id, status, reason.
    events: Vec<[String; 3]>,
    change_set: Option<ChangeSet>,
    /// Descriptions that still say that something is in progress, and what becomes of the stack then.
    rest: usize,
    next: Option<Box<Stack>>,
}

/// The last change set of a stack.
#[derive(Debug, Default, Clone)]
struct ChangeSet {
    name: String,
    reason: String,
    parameters: BTreeMap<String, String>,
    template: String,
    /// Action, logical id and type.
    changes: Vec<[String; 3]>,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        let state = Arc::<Mutex<Account>>::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            endpoint,
            state,
            server,
        }
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.state.lock().unwrap()
    }

    /// The command for this account.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hookkeeper(arguments);
        command.env_clear().envs([
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &*self.endpoint),
        ]);
        command
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(state): State<Arc<Mutex<Account>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut account = state.lock().unwrap();
    let text = String::from_utf8_lossy(&body);
    write!(account.received, "{} {:?} {text}", parts.uri, parts.headers).unwrap();
    let path = parts.uri.path().trim_start_matches('/');
    if !path.is_empty() {
        return account.object(&parts.method, path, &parts.headers, body);
    }
    let request: Fields = form_urlencoded::parse(&body).into_owned().collect();
    let action = request["Action"].clone();
    account.actions.push(action.clone());
    match account.cloud_formation(&action, &request) {
        Ok(result) => format!(
            "<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
        )
        .into_response(),
        Err(message) => {
            let error = format!("<Code>ValidationError</Code><Message>{message}</Message>");
            let error =
                format!("<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>");
            (StatusCode::BAD_REQUEST, error).into_response()
        }
    }
}

impl Account {
    /// `HeadObject` and `PutObject`, with the bucket in the path.
    fn object(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let (bucket, key) = path.split_once('/').unwrap();
        if bucket == BUCKET {
            assert_eq!(headers["x-amz-expected-bucket-owner"], ACCOUNT);
        }
        if method == Method::HEAD {
            return match self.objects.get(path) {
                Some(object) => {
                    ([("content-length", object.len().to_string())], "").into_response()
                }
                None => StatusCode::NOT_FOUND.into_response(),
            };
        }
        assert_eq!(method, Method::PUT);
        let checksum = STANDARD.encode(Sha256::digest(&body));
        assert_eq!(headers["x-amz-checksum-sha256"], *checksum);
        self.uploads.push(key.to_owned());
        self.objects.insert(path.to_owned(), body);
        StatusCode::OK.into_response()
    }

    fn cloud_formation(&mut self, action: &str, request: &Fields) -> Result<String, String> {
        let name = &*request["StackName"];
        // The id of a stack is a name too.
        let name = name.split('/').nth(1).unwrap_or(name);
        match action {
            "DescribeStacks" => Ok(self.stack(name)?.describe(name)),
            "DescribeStackEvents" => Ok(self.stack(name)?.events(name)),
            "CreateStack" => Ok(self.create_stack(name, request)),
            "DeleteStack" => {
                self.stacks.remove(name);
                Ok(String::new())
            }
            "CreateChangeSet" => self.create_change_set(name, request),
            "DescribeChangeSet" => Ok(self.stack(name)?.describe_change_set(request)),
            "DeleteChangeSet" => {
                self.stack(name)?.change_set = None;
                Ok(String::new())
            }
            "ExecuteChangeSet" => self.execute(name, request),
            other => panic!("no {other} is known"),
        }
    }

    fn stack(&mut self, name: &str) -> Result<&mut Stack, String> {
        let stack = self.stacks.get_mut(name);
        stack.ok_or_else(|| format!("Stack with id {name} does not exist"))
    }

    fn create_stack(&mut self, name: &str, request: &Fields) -> String {
        assert_eq!(name, "hookkeeper-code");
        let template = request["TemplateBody"].clone();
        assert!(parse(&template).is_ok());
        let mut stack = Stack {
            template,
            ..Stack::default()
        };
        stack.begin("CREATE", None);
        self.stacks.insert(name.to_owned(), stack);
        format!("<StackId>{}</StackId>", id(name))
    }

    fn create_change_set(&mut self, name: &str, request: &Fields) -> Result<String, String> {
        let capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];
        let is_given = |name: &&str| request.values().any(|value| value == name);
        assert!(capabilities.iter().all(is_given), "a capability is missing");
        let (_, path) = request["TemplateURL"].split_once("://").unwrap();
        let (_, path) = path.split_once('/').unwrap();
        let template = self.objects.get(path).ok_or("S3 error: Access Denied")?;
        let template = String::from_utf8(template.to_vec()).unwrap();
        self.check_code(&template)?;
        let is_new = request["ChangeSetType"] == "CREATE";
        assert_eq!(
            is_new,
            !self.stacks.contains_key(name),
            "the type of the change set"
        );
        let stack = self.stacks.entry(name.to_owned()).or_insert_with(|| Stack {
            status: "REVIEW_IN_PROGRESS".to_owned(),
            events: vec![[name, "REVIEW_IN_PROGRESS", "User Initiated"].map(str::to_owned)],
            ..Stack::default()
        });
        let parameters = stack.new_parameters(&template, request)?;
        let changes = stack.changes(&template, &parameters);
        let is_same = changes.is_empty() && stack.template == template;
        let reason = if is_same {
            "The submitted information didn't contain changes. Submit different information to create a change set."
        } else {
            ""
        };
        stack.change_set = Some(ChangeSet {
            name: request["ChangeSetName"].clone(),
            reason: reason.to_owned(),
            parameters,
            template,
            changes,
        });
        Ok(format!(
            "<Id>change-set</Id><StackId>{}</StackId>",
            id(name)
        ))
    }

    /// Fails unless each function's code is an object.
    fn check_code(&self, template: &str) -> Result<(), String> {
        let template = parse(template).unwrap();
        for (name, resource) in template["Resources"].as_object().unwrap() {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let uri = resource["Properties"]["CodeUri"].as_str().unwrap();
            let path = uri
                .strip_prefix("s3://")
                .ok_or(format!("{name}: 'CodeUri' is not a valid S3 Uri"))?;
            if !self.objects.contains_key(path) {
                return Err(format!("{name}: NoSuchKey"));
            }
        }
        Ok(())
    }

    fn execute(&mut self, name: &str, request: &Fields) -> Result<String, String> {
        let (fails, hangs) = (self.fails.take(), self.hangs);
        let stack = self.stack(name)?;
        let set = stack.change_set.take().ok_or("ChangeSet does not exist")?;
        assert_eq!(set.name, request["ChangeSetName"]);
        let kind = if stack.template.is_empty() {
            "CREATE"
        } else {
            "UPDATE"
        };
        if fails.is_none() {
            stack.parameters = set.parameters;
            stack.template = set.template;
        }
        stack.begin(kind, fails);
        if hangs {
            stack.rest = usize::MAX;
        }
        Ok(String::new())
    }
}

impl Stack {
    /// A stack without parameters.
    pub(crate) fn with_status(status: &str) -> Self {
        Self {
            status: status.to_owned(),
            ..Self::default()
        }
    }

    /// Begins a creation or an update.
    fn begin(&mut self, kind: &str, fails: Option<[&str; 2]>) {
        self.status = format!("{kind}_IN_PROGRESS");
        self.rest = IN_PROGRESS;
        self.event("hookkeeper", &self.status.clone(), "User Initiated");
        let mut next = self.clone();
        next.rest = 0;
        next.status = match (kind, fails) {
            (_, None) => format!("{kind}_COMPLETE"),
            ("CREATE", Some(_)) => "ROLLBACK_COMPLETE".to_owned(),
            (_, Some(_)) => "UPDATE_ROLLBACK_COMPLETE".to_owned(),
        };
        if let Some([id, reason]) = fails {
            next.event(id, &format!("{kind}_FAILED"), reason);
            next.event(
                "Dashboard",
                &format!("{kind}_FAILED"),
                "Resource creation cancelled",
            );
        } else {
            next.event("Table", &format!("{kind}_COMPLETE"), "");
        }
        next.event("hookkeeper", &next.status.clone(), "");
        self.next = Some(Box::new(next));
    }

    fn event(&mut self, id: &str, status: &str, reason: &str) {
        self.events
            .insert(0, [id, status, reason].map(str::to_owned));
    }

    fn describe(&mut self, name: &str) -> String {
        match self.rest {
            0 | usize::MAX => {}
            1 => *self = *self.next.take().unwrap(),
            _ => self.rest -= 1,
        }
        let urls = urls(&self.parameters, "https://api.example");
        let only = match name {
            "hookkeeper-code" => ("BucketName".to_owned(), BUCKET.to_owned()),
            _ => ("AlarmTopic".to_owned(), "arn:topic".to_owned()),
        };
        let outputs: String = urls
            .into_iter()
            .chain([only])
            .map(|pair| member("Output", &pair))
            .collect();
        let parameters = self.parameters.clone().into_iter();
        let parameters: String = parameters.map(|pair| member("Parameter", &pair)).collect();
        let Self {
            status,
            is_protected,
            ..
        } = self;
        format!(
            "<Stacks><member><StackName>{name}</StackName><StackId>{}</StackId>\
             <CreationTime>2026-11-21T10:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
             <EnableTerminationProtection>{is_protected}</EnableTerminationProtection>\
             <Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks>",
            id(name)
        )
    }

    fn events(&self, name: &str) -> String {
        let count = self.events.len();
        let events = self.events.iter().enumerate().map(|(index, [id_of, status, reason])| {
            format!(
                "<member><StackName>{name}</StackName><StackId>{}</StackId><EventId>{}</EventId>\
                 <LogicalResourceId>{id_of}</LogicalResourceId><ResourceStatus>{status}</ResourceStatus>\
                 <ResourceStatusReason>{reason}</ResourceStatusReason>\
                 <Timestamp>2026-11-21T10:00:00Z</Timestamp></member>",
                id(name),
                count - index
            )
        });
        format!("<StackEvents>{}</StackEvents>", events.collect::<String>())
    }

    /// A page of the changes.
    fn describe_change_set(&self, request: &Fields) -> String {
        let set = self.change_set.as_ref().unwrap();
        assert_eq!(set.name, request["ChangeSetName"]);
        let status = if set.reason.is_empty() {
            "CREATE_COMPLETE"
        } else {
            "FAILED"
        };
        let first: usize = request
            .get("NextToken")
            .map_or(0, |token| token.parse().unwrap());
        let changes = set.changes.iter().skip(first).take(PAGE).map(|[action, id, kind]| {
            let replacement = if action == "Modify" { "<Replacement>True</Replacement>" } else { "" };
            format!(
                "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action>{replacement}\
                 <LogicalResourceId>{id}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
                 </ResourceChange></member>"
            )
        });
        let changes: String = changes.collect();
        let next = first + PAGE;
        let next = if next < set.changes.len() {
            format!("<NextToken>{next}</NextToken>")
        } else {
            String::new()
        };
        format!(
            "<Status>{status}</Status><StatusReason>{}</StatusReason><Changes>{changes}</Changes>{next}",
            set.reason
        )
    }

    /// The parameters that the stack would have.
    fn new_parameters(
        &self,
        template: &str,
        request: &Fields,
    ) -> Result<BTreeMap<String, String>, String> {
        let template = parse(template).unwrap();
        let declared = template["Parameters"].as_object().unwrap().iter();
        let mut parameters: BTreeMap<_, _> = declared
            .map(|(name, parameter)| (name.clone(), text(&parameter["Default"])))
            .collect();
        for number in 1.. {
            let field = |name| request.get(&format!("Parameters.member.{number}.{name}"));
            let Some(name) = field("ParameterKey") else {
                break;
            };
            let value = match field("UsePreviousValue").map(String::as_str) {
                Some("true") => self
                    .parameters
                    .get(name)
                    .ok_or("Invalid input for parameter key")?,
                _ => field("ParameterValue").unwrap(),
            };
            let known = parameters
                .get_mut(name)
                .ok_or(format!("Parameters: [{name}] do not exist in the template"))?;
            known.clone_from(value);
        }
        Ok(parameters)
    }

    /// The resources that are new, gone, written otherwise, or that refer to a parameter that changes.
    fn changes(&self, template: &str, parameters: &BTreeMap<String, String>) -> Vec<[String; 3]> {
        let [before, after] = [&*self.template, template].map(resources);
        let set = parameters
            .iter()
            .filter(|(name, value)| self.parameters.get(*name) != Some(value));
        let set: Vec<_> = set
            .map(|(name, _)| format!("{{\"Ref\":\"{name}\"}}"))
            .collect();
        let ids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changes = ids.into_iter().filter_map(|id| {
            let (action, resource) = match (before.get(id), after.get(id)) {
                (None, Some(after)) => ("Add", after),
                (Some(before), None) => ("Remove", before),
                (Some(before), Some(after)) => {
                    let text = after.to_string();
                    let is_changed = before != after || set.iter().any(|of| text.contains(of));
                    is_changed.then_some(("Modify", after))?
                }
                (None, None) => return None,
            };
            Some([action.to_owned(), id.clone(), text(&resource["Type"])])
        });
        changes.collect()
    }
}

/// Resources of a template with what all functions have.
fn resources(template: &str) -> Map<String, Value> {
    let Ok(template) = parse(template) else {
        return Map::new();
    };
    let mut resources = template["Resources"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for resource in resources.values_mut() {
        if resource["Type"] == "AWS::Serverless::Function" {
            resource["Globals"] = template["Globals"].clone();
        }
    }
    resources
}

fn id(stack: &str) -> String {
    format!("arn:aws:cloudformation:eu-central-1:{ACCOUNT}:stack/{stack}/1")
}
