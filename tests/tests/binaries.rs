//! Runs the real binaries as Lambda does: their responses, the stored records, and that no event
//! ends the process.

use axum::body::Bytes;
use models::{Body, Record};
use providers::{CLOSER, PIPEDRIVE, Provider, Scheme};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};
use testkit::{
    deployment::{Deployment, Place, delivery},
    provider as provider_of,
    proxy::Fault,
    request::{CREDENTIALS, KEY, Request, accepted, basic, event},
    runtime_api::{Answer, Environment, Function, binary},
    site::Site,
};

/// A function with its own table.
struct Subject {
    function: Function,
    site: Site,
}

impl Subject {
    async fn start(provider: &Provider) -> Self {
        Self::start_with(provider, provider.name, |environment| environment).await
    }

    /// Starts a binary as a provider's function with a changed environment.
    async fn start_with(
        provider: &Provider,
        name: &str,
        change: impl FnOnce(Environment) -> Environment,
    ) -> Self {
        let site = Site::start().await;
        let environment = change(site.environment(provider));
        let function = Function::spawn(binary(name), &environment).await;
        Self { function, site }
    }

    /// Sends an event, and returns the status of the response and the log line.
    async fn send(&mut self, event: impl Into<Bytes>) -> (u64, Value) {
        let answer = self.function.invoke(event).await;
        let (Answer::Response(_), Some(line)) = (&answer, self.function.log().pop()) else {
            panic!("{answer:?} {}", self.function.stderr());
        };
        (answer.status(), line)
    }
}

fn variable(provider: &str, list: &str) -> String {
    format!("{}_{list}", provider.to_uppercase())
}

fn post(provider: &str, number: u32) -> Request {
    Request::post(provider, &event(provider, number))
}

fn empty(provider: &str, method: &str) -> Request {
    Request::with_method(method, provider)
}

/// A request with an invalid base64 body.
fn garbled(provider: &str) -> Request {
    Request::post(provider, "no base64!").with("/isBase64Encoded", true)
}

/// The same request with a lone surrogate in each place with the text `SURROGATE`.
fn surrogate(request: &Request) -> Bytes {
    request.0.to_string().replace("SURROGATE", "\\ud800").into()
}

/// A description, an event, its verdict, and the stored body.
type Case = (&'static str, Bytes, &'static str, Option<Vec<u8>>);

/// Requests to a URL, some of them unauthorized.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn cases(provider: &str) -> Vec<Case> {
    vec![
        (
            "a delivery",
            post(provider, 1).into(),
            "stored",
            Some(event(provider, 1).into_bytes()),
        ),
        ("the same again", post(provider, 1).into(), "stored", None),
        (
            "in base64",
            Request::post_bytes(provider, event(provider, 2).as_bytes()).into(),
            "stored",
            Some(event(provider, 2).into_bytes()),
        ),
        (
            "unreadable",
            Request::post(provider, "hello").into(),
            "quarantined",
            Some(b"hello".into()),
        ),
        (
            "any bytes",
            Request::post_bytes(provider, b"\0\xff").into(),
            "quarantined",
            Some(b"\0\xff".into()),
        ),
        ("GET", empty(provider, "GET").into(), "url_check", None),
        ("HEAD", empty(provider, "HEAD").into(), "url_check", None),
        (
            "GET with a body",
            empty(provider, "GET").body(&event(provider, 3)).into(),
            "url_check",
            None,
        ),
        (
            "empty",
            empty(provider, "POST")
                .authorization(&basic(CREDENTIALS))
                .into(),
            "probe",
            None,
        ),
        (
            "empty text",
            Request::post(provider, "").into(),
            "probe",
            None,
        ),
        (
            "PUT",
            empty(provider, "PUT")
                .body(&event(provider, 4))
                .authorization(&basic(CREDENTIALS))
                .into(),
            "stored",
            Some(event(provider, 4).into_bytes()),
        ),
        (
            "empty, without credentials",
            empty(provider, "POST").into(),
            "url_check",
            None,
        ),
        (
            "no credentials",
            post(provider, 5).unauthorized().into(),
            "unauthorized",
            None,
        ),
        (
            "wrong credentials",
            post(provider, 5).authorization(&basic("user:wrong")).into(),
            "unauthorized",
            None,
        ),
        (
            "an unknown key",
            post(provider, 5).unauthorized().query("key=wrong").into(),
            "unauthorized",
            None,
        ),
        (
            "not base64",
            garbled(provider).into(),
            "quarantined",
            Some(b"no base64!".into()),
        ),
        (
            "an unauthorized not base64",
            garbled(provider).unauthorized().into(),
            "unauthorized",
            None,
        ),
        (
            "a query of no URL",
            post(provider, 6).query("a=<b>\"c d\u{1}%zz").into(),
            "stored",
            Some(event(provider, 6).into_bytes()),
        ),
        (
            "a bad host",
            post(provider, 7).header("host", "ho st/<>:x").into(),
            "stored",
            Some(event(provider, 7).into_bytes()),
        ),
        (
            "a bad protocol",
            post(provider, 8)
                .header("x-forwarded-proto", "ht tp:")
                .into(),
            "stored",
            Some(event(provider, 8).into_bytes()),
        ),
        (
            "a control character",
            post(provider, 9).header("x-a", "a\u{1}\r\nb").into(),
            "stored",
            Some(event(provider, 9).into_bytes()),
        ),
        (
            "a header of no name",
            post(provider, 10)
                .header("bad name\n", "x")
                .header("", "")
                .into(),
            "stored",
            Some(event(provider, 10).into_bytes()),
        ),
        (
            "headers that are none",
            post(provider, 11)
                .with("/headers/x", 1)
                .with("/headers/y", json!([]))
                .into(),
            "stored",
            Some(event(provider, 11).into_bytes()),
        ),
        (
            "no header at all",
            post(provider, 12).with("/headers", Value::Null).into(),
            "unauthorized",
            None,
        ),
        (
            "an unauthorized control character",
            post(provider, 13).authorization("Basic \u{1}").into(),
            "unauthorized",
            None,
        ),
        (
            "half a character in a header",
            surrogate(&post(provider, 14).header("x-SURROGATE", "SURROGATE")),
            "stored",
            Some(event(provider, 14).into_bytes()),
        ),
        (
            "half a character in the query",
            surrogate(&post(provider, 15).query("SURROGATE")),
            "stored",
            Some(event(provider, 15).into_bytes()),
        ),
        (
            "half a character in the body",
            surrogate(&Request::post(provider, "SURROGATE")),
            "quarantined",
            Some(b"\xed\xa0\x80".into()),
        ),
        (
            "members of other types",
            post(provider, 16)
                .with("/cookies", 1)
                .with("/requestContext/time", 1)
                .into(),
            "stored",
            Some(event(provider, 16).into_bytes()),
        ),
        (
            "a method that is none",
            post(provider, 17)
                .with("/requestContext/http/method", "P OST")
                .into(),
            "stored",
            Some(event(provider, 17).into_bytes()),
        ),
        (
            "a body that is none",
            post(provider, 18).with("/body", json!({ "a": 1 })).into(),
            "probe",
            None,
        ),
        (
            "an arrival that is none",
            post(provider, 19)
                .with("/requestContext/timeEpoch", "x")
                .into(),
            "stored",
            Some(event(provider, 19).into_bytes()),
        ),
        (
            "no context",
            post(provider, 20)
                .with("/requestContext", Value::Null)
                .into(),
            "stored",
            Some(event(provider, 20).into_bytes()),
        ),
        ("an object", "{}".into(), "url_check", None),
        ("a list", "[]".into(), "url_check", None),
        ("a number", "1".into(), "url_check", None),
        ("null", "null".into(), "url_check", None),
        ("text", "\"x\"".into(), "url_check", None),
        ("half a character", "\"\\ud800\"".into(), "url_check", None),
        (
            "deep",
            ("[".repeat(100_000) + &"]".repeat(100_000)).into(),
            "url_check",
            None,
        ),
        (
            "SQS",
            r#"{"Records":[{"eventSource":"aws:sqs","body":"x","messageAttributes":{}}]}"#.into(),
            "url_check",
            None,
        ),
        (
            "EventBridge",
            r#"{"version":"0","detail-type":"x","source":"aws.s3","detail":{}}"#.into(),
            "url_check",
            None,
        ),
        (
            "a REST API",
            r#"{"httpMethod":"POST","path":"/","headers":{},"body":"x"}"#.into(),
            "unauthorized",
            None,
        ),
    ]
}

/// The verdict of a log line. On a busy machine, an attempt can time out and still take effect, and
/// the next attempt then finds a duplicate. The final content of the table shows the result.
fn verdict_in(line: &Value) -> &str {
    match line["verdict"].as_str().unwrap() {
        "duplicate" => "stored",
        verdict => verdict,
    }
}

#[tokio::test]
async fn every_case_gets_its_verdict_and_the_process_survives() {
    for provider in providers::ALL {
        let mut subject = Subject::start(&provider).await;
        let provider = provider.name;
        let pid = subject.function.pid();
        let mut expected = Vec::new();
        for (number, (case, request, verdict, body)) in (1_000..).zip(cases(provider)) {
            let (status, line) = subject.send(request).await;
            assert_eq!(verdict_in(&line), verdict, "{provider}: {case}");
            assert_eq!(
                status,
                if verdict == "unauthorized" { 401 } else { 200 },
                "{provider}: {case}"
            );
            expected.extend(body);

            let good = event(provider, number);
            let (status, line) = subject.send(Request::post(provider, &good)).await;
            assert_eq!(
                (status, verdict_in(&line)),
                (200, "stored"),
                "{provider}: after {case}"
            );
            expected.push(good.into_bytes());
        }
        let mut found = subject.site.deliveries().await;
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{provider}");
        assert_eq!(subject.function.pid(), pid);
        assert_eq!(subject.function.stderr(), "", "{provider}");
    }
}

#[tokio::test]
async fn an_unauthorized_response_asks_for_basic_authentication() {
    let mut subject = Subject::start(&CLOSER).await;
    let Answer::Response(stranger) = subject
        .function
        .invoke(Request::post("closer", "x").unauthorized())
        .await
    else {
        panic!("no response");
    };
    assert_eq!(
        stranger["headers"],
        json!({ "www-authenticate": "Basic realm=\"hookkeeper\", charset=\"UTF-8\"" })
    );
    let Answer::Response(kept) = subject
        .function
        .invoke(Request::post("closer", &event("closer", 1)))
        .await
    else {
        panic!("no response");
    };
    assert_eq!(
        (&kept["statusCode"], &kept["headers"]),
        (&json!(200), &json!({}))
    );
    assert_eq!((&kept["body"], &stranger["body"]), (&json!(""), &json!("")));
}

#[tokio::test]
async fn the_log_line_counts_the_bytes_of_unauthorized_requests_too() {
    let mut subject = Subject::start(&CLOSER).await;
    let body = event("closer", 1);
    for request in [
        Request::post("closer", &body),
        Request::post_bytes("closer", body.as_bytes()),
    ] {
        for (request, verdict) in [
            (request.clone(), "stored"),
            (request.unauthorized(), "unauthorized"),
        ] {
            let (_, line) = subject.send(request).await;
            assert_eq!(
                (verdict_in(&line), &line["bytes"]),
                (verdict, &json!(body.len()))
            );
        }
    }
}

#[tokio::test]
async fn the_log_line_names_the_credential_that_matched() {
    let list = format!(
        "{},{}",
        accepted("old", "user:old"),
        accepted("new", CREDENTIALS)
    );
    let both = |env: Environment| env.with("PIPEDRIVE_CREDENTIALS", list);
    let mut subject = Subject::start_with(&PIPEDRIVE, "pipedrive", both).await;
    for (number, (credentials, label)) in (1..).zip([("user:old", "old"), (CREDENTIALS, "new")]) {
        let request = Request::post("pipedrive", &event("pipedrive", number))
            .authorization(&basic(credentials));
        let (status, line) = subject.send(request).await;
        assert_eq!((status, &line["credential"]), (200, &json!(label)));
    }
}

#[tokio::test]
async fn a_key_in_the_url_authenticates_where_the_provider_allows_keys() {
    for provider in providers::ALL {
        let keys = variable(provider.name, "KEYS");
        let with_key = |environment: Environment| environment.with(&keys, accepted("url", KEY));
        if !provider.supports(Scheme::UrlKey) {
            let mut subject = Subject::start_with(&provider, provider.name, with_key).await;
            assert!(!subject.function.ended().await.success());
            continue;
        }
        let credentials = variable(provider.name, "CREDENTIALS");
        let with_key_only = |environment| with_key(environment).without(&credentials);
        let mut subject = Subject::start_with(&provider, provider.name, with_key_only).await;
        let request = Request::post(provider.name, &event(provider.name, 1)).unauthorized();
        let (status, line) = subject
            .send(request.clone().query(&format!("key={KEY}")))
            .await;
        assert_eq!(
            (status, &line["verdict"], &line["credential"]),
            (200, &json!("stored"), &json!("url"))
        );
        assert_eq!(subject.send(request.query("key=wrong")).await.0, 401);
        assert_eq!(
            subject.site.deliveries().await,
            [event(provider.name, 1).into_bytes()]
        );
    }
}

#[tokio::test]
async fn a_panic_in_the_parser_quarantines_only_its_own_delivery() {
    let mut subject = Subject::start_with(&PIPEDRIVE, "panicking", |env| env).await;
    let pid = subject.function.pid();
    for number in 1..4 {
        let body = format!("panic! {number}");
        let (status, line) = subject.send(Request::post("pipedrive", &body)).await;
        assert_eq!(
            (status, &line["verdict"], &line["reason"]),
            (200, &json!("quarantined"), &json!("panicked"))
        );
        let (status, line) = subject
            .send(Request::post("pipedrive", &event("pipedrive", number)))
            .await;
        assert_eq!((status, &line["verdict"]), (200, &json!("stored")));
    }
    let records = subject.site.table.records().await.unwrap();
    let panicked = records.iter().filter_map(|record| match record {
        Record::Quarantined {
            reason,
            body: Body::Here(bytes),
            ..
        } if reason.code == "panicked" => Some(String::from_utf8(bytes.clone()).unwrap()),
        _ => None,
    });
    let mut panicked: Vec<_> = panicked.collect();
    panicked.sort();
    assert_eq!(panicked, ["panic! 1", "panic! 2", "panic! 3"]);
    assert_eq!(records.len(), 6);
    assert_eq!(subject.function.pid(), pid);
}

#[tokio::test]
async fn a_missing_setting_ends_the_start_with_one_sentence() {
    type Change = fn(Environment) -> Environment;
    let table: [(&str, Change, &str); 11] = [
        (
            "pipedrive",
            |env| env.with("PIPEDRIVE_CREDENTIALS", ""),
            "no credential is configured: set PIPEDRIVE_CREDENTIALS to label:digest[,label:digest], as `hookkeeper credentials` prints it",
        ),
        (
            "closer",
            |env| env.without("CLOSER_CREDENTIALS").without("CLOSER_KEYS"),
            "no credential is configured: set CLOSER_CREDENTIALS or CLOSER_KEYS to label:digest[,label:digest], as `hookkeeper credentials` prints it",
        ),
        (
            "amocrm",
            |env| env.with("AMOCRM_CREDENTIALS", "user:password"),
            "entry 1 of AMOCRM_CREDENTIALS is not label:digest (a label of 1 to 32 characters of a-z, 0-9 and -, and 64 hexadecimal digits)",
        ),
        (
            "amocrm",
            |env| env.with("AMOCRM_KEYS", format!("{},x", accepted("a", KEY))),
            "entry 2 of AMOCRM_KEYS is not label:digest (a label of 1 to 32 characters of a-z, 0-9 and -, and 64 hexadecimal digits)",
        ),
        (
            "pipedrive",
            |env| env.with("PIPEDRIVE_KEYS", accepted("a", KEY)),
            "PIPEDRIVE_KEYS is set, but this provider's webhooks send a user name and a password, and no key",
        ),
        (
            "closer",
            |env| env.without("HOOKKEEPER_TABLE"),
            "the environment variable HOOKKEEPER_TABLE is not set",
        ),
        (
            "closer",
            |env| env.with("HOOKKEEPER_TABLE", ""),
            "the environment variable HOOKKEEPER_TABLE is not set",
        ),
        (
            "closer",
            |env| env.without("AWS_REGION"),
            "the environment variable AWS_REGION is not set",
        ),
        (
            "closer",
            |env| env.without("AWS_ACCESS_KEY_ID"),
            "the environment variable AWS_ACCESS_KEY_ID is not set",
        ),
        (
            "closer",
            |env| env.without("AWS_SECRET_ACCESS_KEY"),
            "the environment variable AWS_SECRET_ACCESS_KEY is not set",
        ),
        (
            "closer",
            |env| env.with("HOOKKEEPER_RETENTION_DAYS", "-1"),
            "the environment variable HOOKKEEPER_RETENTION_DAYS is not a whole number",
        ),
    ];
    for (provider, change, sentence) in table {
        let mut subject = Subject::start_with(&provider_of(provider), provider, change).await;
        let status = subject.function.ended().await;
        assert_eq!(status.code(), Some(1), "{sentence}");
        assert_eq!(
            subject.function.stderr(),
            format!("{provider} cannot start: {sentence}\n")
        );
        assert_eq!(subject.function.stdout(), "");
    }
}

/// Two ports: one refuses connections, and one accepts a connection and never responds.
#[tokio::test]
async fn an_unavailable_table_is_a_503_within_a_second() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = listener.local_addr().unwrap();
    let refusing = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    for (address, reason) in [(refusing, "unreachable"), (silent, "timeout")] {
        for provider in providers::ALL {
            let endpoint = format!("http://{address}");
            let unavailable = |env: Environment| env.with("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
            let mut subject = Subject::start_with(&provider, provider.name, unavailable).await;
            let provider = provider.name;
            assert_eq!(
                subject.send(Request::with_method("GET", provider)).await.0,
                200
            );
            for number in 0..2 {
                let asked = Instant::now();
                let (status, line) = subject
                    .send(Request::post(provider, &event(provider, number)))
                    .await;
                assert!(
                    asked.elapsed() < Duration::from_secs(1),
                    "{provider}: {:?}",
                    asked.elapsed()
                );
                assert_eq!(
                    (status, &line["verdict"], &line["table_failure"]),
                    (503, &json!("unavailable"), &json!(reason)),
                    "{provider}"
                );
            }
            assert!(subject.function.is_alive());
        }
    }
}

/// Sends a delivery, and returns the status of the response and the log line.
async fn delivered(deployment: &Deployment, function: &mut Function, body: &str) -> (u64, Value) {
    let answer = function
        .invoke(Request::post_bytes(
            deployment.provider.name,
            body.as_bytes(),
        ))
        .await;
    (answer.status(), function.log().pop().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_is_logged_with_the_failure_of_each_store() {
    let deployment = Deployment::start(providers::CLOSER).await;
    let throttled = [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    ];
    for (fault, table, queue) in [
        (Fault::InternalError, ["http_500"; 2], "http_500"),
        (Fault::Refused, ["unreachable"; 2], "unreachable"),
        (Fault::Hang, ["timeout"; 2], "timeout"),
        (Fault::NotJson, ["bad_answer"; 2], "bad_answer"),
        (Fault::Throttling, throttled, "RequestThrottled"),
    ] {
        let mut function = Function::spawn(binary("closer"), &deployment.environment()).await;
        deployment.set(Place::Both, fault).await;
        // On a busy machine a failure can arrive too late; then the next delivery gets it.
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let (status, line) = delivered(&deployment, &mut function, &event("closer", 1)).await;
            assert_eq!(
                (status, &line["verdict"]),
                (503, &json!("unavailable")),
                "{fault:?}"
            );
            let failures = [&line["table_failure"], &line["queue_failure"]]
                .map(|failure| failure.as_str().unwrap());
            let is_expected = table.contains(&failures[0]) && failures[1] == queue;
            seen.push(failures.map(str::to_owned));
            if is_expected {
                break;
            }
        }
        let [table_failure, queue_failure] = seen.pop().unwrap();
        assert!(
            table.contains(&&*table_failure),
            "{fault:?}: {table_failure}"
        );
        assert_eq!(queue_failure, queue, "{fault:?}");
        deployment.set(Place::Both, Fault::None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_delivery_is_logged_with_its_duplicates_in_the_table() {
    let deployment = Deployment::start(providers::AMOCRM).await;
    let mut function = Function::spawn(binary("amocrm"), &deployment.environment()).await;
    let body = delivery(&deployment.provider, 1, 20);
    assert_eq!(delivered(&deployment, &mut function, &body).await.0, 200);
    deployment
        .table_proxy
        .set_after(15, Fault::Throttling)
        .await;
    let (status, line) = delivered(&deployment, &mut function, &body).await;
    assert_eq!(
        (status, &line["verdict"], &line["events"]),
        (200, &json!("queued"), &json!(20)),
        "{line}"
    );
    let [duplicates, queued] =
        ["duplicates", "queued"].map(|count| line[count].as_u64().unwrap_or_default());
    assert!(
        duplicates >= 10 && queued >= 1 && duplicates + queued <= 21,
        "{line}"
    );
    assert!(line.get("queue_failure").is_none(), "{line}");
}
