//! AWS Lambda on this machine: its Runtime API, and the process of a function's real binary.
//!
//! A [`Function`] is started as Lambda starts one, with only Lambda's environment variables. It
//! takes one event after another. Its output and its posts can be read at any time.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use crate::{request, workspace};
use axum::{
    Router,
    body::Bytes,
    extract::{Path as UrlPath, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use providers::Provider;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    env,
    fs::{self, File},
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::TcpListener,
    process::{self, Child},
    sync::{self, Notify, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// Timeout of an invocation: the `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A running function. Dropping it kills its process.
#[derive(Debug)]
pub struct Function {
    /// Time at which its process was started, after the setup of the harness.
    pub spawned: Instant,
    process: Child,
    api: Api,
    stdout: File,
    stderr: File,
}

/// Result of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Response that the function posted.
    Response(Value),
    /// Error that the function posted. API Gateway responds 500.
    Error(Value),
    /// The process ended without a response.
    Ended(ExitStatus),
    /// The invocation exceeded the timeout.
    TimedOut,
}

impl Answer {
    /// The status that the provider sees.
    #[must_use]
    pub fn status(&self) -> u64 {
        match self {
            Self::Response(response) => response["statusCode"]
                .as_u64()
                .expect("a response has a status"),
            Self::Error(_) | Self::Ended(_) | Self::TimedOut => 500,
        }
    }
}

impl Function {
    /// Starts a function.
    pub async fn spawn(binary: &Path, environment: &Environment) -> Self {
        Self::behind(
            Api::start().await,
            tempfile::tempfile().unwrap(),
            binary,
            environment,
        )
    }

    /// Starts a function whose standard output is a given file.
    pub async fn spawn_printing_to(stdout: File, binary: &Path, environment: &Environment) -> Self {
        Self::behind(Api::start().await, stdout, binary, environment)
    }

    /// Starts a function with a pending event, and returns its response too.
    pub async fn cold_start(
        binary: &Path,
        environment: &Environment,
        event: impl Into<Bytes>,
    ) -> (Self, Answer) {
        let api = Api::start().await;
        let answer = api.queue(event.into(), TIMEOUT);
        let mut function = Self::behind(api, tempfile::tempfile().unwrap(), binary, environment);
        let answer = function.answer(answer).await;
        (function, answer)
    }

    fn behind(api: Api, stdout: File, binary: &Path, environment: &Environment) -> Self {
        let stderr = tempfile::tempfile().unwrap();
        let mut command = process::Command::new(binary);
        command
            .env_clear()
            .envs(&environment.0)
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .kill_on_drop(true);
        let spawned = Instant::now();
        Self {
            spawned,
            process: command.spawn().unwrap(),
            api,
            stdout,
            stderr,
        }
    }

    /// Waits until the function polls for an event: its Init phase is over.
    pub async fn polled(&mut self) {
        let polled = async {
            tokio::select! {
                () = self.api.state.polled.notified() => {}
                status = self.process.wait() => panic!("it ended in its Init ({}): {}", status.unwrap(), text(&self.stderr)),
            }
        };
        timeout(TIMEOUT, polled)
            .await
            .expect("it asks for an event");
    }

    /// Passes an event (JSON or any other text) to the function, and waits for the result.
    pub async fn invoke(&mut self, event: impl Into<Bytes>) -> Answer {
        self.invoke_within(TIMEOUT, event).await
    }

    /// Passes an event to the function with another deadline than that of the template.
    pub async fn invoke_within(&mut self, timeout: Duration, event: impl Into<Bytes>) -> Answer {
        let answer = self.api.queue(event.into(), timeout);
        self.answer(answer).await
    }

    async fn answer(&mut self, answer: oneshot::Receiver<Answer>) -> Answer {
        let answer = timeout(TIMEOUT, async {
            tokio::select! {
                biased;
                Ok(answer) = answer => answer,
                status = self.process.wait() => Answer::Ended(status.unwrap()),
            }
        });
        answer.await.unwrap_or(Answer::TimedOut)
    }

    /// The id of its process. `None` if it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Peak memory of its process so far, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().unwrap())).unwrap();
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: usize = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kilobytes * 1024
    }

    /// Whether its process is running.
    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Ends its process with `kill -9`.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until its process ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(TIMEOUT, self.process.wait())
            .await
            .expect("the process ends")
            .unwrap()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// The lines of its log so far.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let stdout = self.stdout();
        let lines = stdout.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    /// Its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// All posts to the Runtime API so far: paths, headers and bodies.
    #[must_use]
    pub fn posts(&self) -> Vec<String> {
        self.api.state.posts.lock().unwrap().clone()
    }
}

/// The text of a file that another process writes, without a change of its position.
fn text(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The Runtime API of one function, over HTTP on 127.0.0.1.
#[derive(Debug)]
struct Api {
    address: SocketAddr,
    state: Arc<ApiState>,
    queue: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct ApiState {
    queued: sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    /// Events in progress, by request id.
    taken: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    posts: Mutex<Vec<String>>,
    /// Notified when the function asks for an event.
    polled: Notify,
}

#[derive(Debug)]
struct Invocation {
    event: Bytes,
    timeout: Duration,
    answer: oneshot::Sender<Answer>,
}

impl Api {
    async fn start() -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let state = ApiState {
            queued: queued.into(),
            taken: Mutex::default(),
            posts: Mutex::default(),
            polled: Notify::new(),
        };
        let state = Arc::new(state);
        let runtime = Router::new()
            .route("/invocation/next", get(next))
            .route("/invocation/{request_id}/response", post(response))
            .route("/invocation/{request_id}/error", post(error))
            .route("/init/error", post(init_error));
        let app = Router::new()
            .nest("/2018-06-01/runtime", runtime)
            .with_state(state.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            state,
            queue,
            server,
        }
    }

    fn queue(&self, event: Bytes, timeout: Duration) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            event,
            timeout,
            answer,
        };
        self.queue.send(invocation).unwrap();
        answered
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Returns the next event, as soon as there is one.
async fn next(State(state): State<Arc<ApiState>>) -> ([(&'static str, String); 5], Bytes) {
    state.polled.notify_one();
    let Some(invocation) = state.queued.lock().await.recv().await else {
        // The function can outlive its test for a moment.
        return pending().await;
    };
    let Invocation {
        event,
        timeout,
        answer,
    } = invocation;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let request_id = format!("00000000-0000-4000-8000-{:012x}", now.as_micros());
    state
        .taken
        .lock()
        .unwrap()
        .insert(request_id.clone(), answer);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", request_id),
        (
            "lambda-runtime-deadline-ms",
            (now + timeout).as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:it".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned(),
        ),
    ];
    (headers, event)
}

async fn response(
    state: State<Arc<ApiState>>,
    id: UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    state.posted("response", &headers, &body);
    state.answered(&id, Answer::Response(json(&body)))
}

async fn error(
    state: State<Arc<ApiState>>,
    id: UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    state.posted("error", &headers, &body);
    state.answered(&id, Answer::Error(json(&body)))
}

async fn init_error(state: State<Arc<ApiState>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    state.posted("init/error", &headers, &body);
    StatusCode::ACCEPTED
}

impl ApiState {
    fn posted(&self, path: &str, headers: &HeaderMap, body: &[u8]) {
        let post = format!("{path} {headers:?} {}", String::from_utf8_lossy(body));
        self.posts.lock().unwrap().push(post);
    }

    fn answered(&self, request_id: &str, answer: Answer) -> StatusCode {
        let Some(waiting) = self.taken.lock().unwrap().remove(request_id) else {
            return StatusCode::NOT_FOUND;
        };
        // A response after the timeout has no receiver.
        waiting.send(answer).ok();
        StatusCode::ACCEPTED
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("a function posts JSON")
}

/// Environment variables of a function: those of Lambda and those of the template.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
#[derive(Debug, Clone)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Environment of a function with a DynamoDB endpoint, without credentials.
    #[must_use]
    pub fn of(function: &str, dynamodb: &str) -> Self {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_rust"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_NAME", function),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/it"),
            (
                "AWS_LAMBDA_LOG_STREAM_NAME",
                "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef",
            ),
            ("AWS_REGION", "us-east-1"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "token"),
            ("HOOKKEEPER_TABLE", hookkeeper::dev::TABLE),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
            ("TZ", ":UTC"),
            ("_HANDLER", "bootstrap"),
        ];
        Self(
            variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    /// The same with the lists of accepted credentials of the harness.
    #[must_use]
    pub fn accepting(self, provider: &Provider) -> Self {
        let prefix = provider.name.to_uppercase();
        self.with(
            &format!("{prefix}_CREDENTIALS"),
            request::accepted_credentials(),
        )
        .with(&format!("{prefix}_KEYS"), request::accepted_keys(provider))
    }

    /// The same with one more variable, or with another value of a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

/// Path of a binary of this workspace or an example of this crate. The first call builds all of
/// them.
pub fn binary(name: &str) -> &'static Path {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let binaries = BINARIES.get_or_init(|| build(&["--workspace", "--bins", "--examples"]));
    binaries
        .get(name)
        .unwrap_or_else(|| panic!("the workspace has no binary {name}"))
}

/// Path of the binary of a function with its shipped features: only those that its own package
/// enables, and none of the tests or the command. The first call builds all of them.
pub fn shipped(name: &str) -> &'static Path {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let packages = providers::ALL
        .map(|provider| ["-p", provider.name])
        .concat();
    let binaries = BINARIES.get_or_init(|| build(&packages));
    binaries
        .get(name)
        .unwrap_or_else(|| panic!("no function {name} is shipped"))
}

fn build(packages: &[&str]) -> HashMap<String, PathBuf> {
    cargo(&[&["build"], packages].concat(), &workspace(""))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `cargo build ...` in a folder and returns the executables by their names.
///
/// # Errors
/// The output of cargo, if it fails.
pub fn cargo(arguments: &[&str], folder: &Path) -> Result<HashMap<String, PathBuf>, String> {
    // The variables that cargo sets for a test would cause the build scripts of the dependencies
    // to run again, and so a rebuild of the dependencies.
    let inherited = env::vars_os().filter(|(name, _)| {
        let is_cargos = name.to_string_lossy().starts_with("CARGO_");
        !is_cargos || name == "CARGO_HOME" || name == "CARGO_TARGET_DIR"
    });
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .arg("--message-format=json")
        .current_dir(folder)
        .env_clear()
        .envs(inherited)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    Ok(messages
        .lines()
        .filter_map(|line| executable(&serde_json::from_str(line).ok()?))
        .collect())
}

fn executable(message: &Value) -> Option<(String, PathBuf)> {
    Some((
        message["target"]["name"].as_str()?.to_owned(),
        message["executable"].as_str()?.into(),
    ))
}
