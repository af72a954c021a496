//! Nothing that a provider or a stranger sends is logged, printed or answered: a marker is put wherever a sender can put
//! one, goes through every verdict of the real binaries at their most talkative, and is found nowhere. What is logged
//! instead is one line of CloudWatch's embedded metrics a delivery.

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use hookkeeper::{
    dev::{Data, DynamoDb},
    template::TEMPLATE,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use testkit::{
    request::{Request, accepted, basic, event},
    runtime_api::{Answer, Environment, Function, binary},
};

/// In small letters, since names of headers are.
const MARKER: &str = "xyzzymarker";

/// What must be found nowhere: the marker, and credentials with it as they stand in a header.
fn secrets() -> [String; 3] {
    [
        MARKER.to_owned(),
        STANDARD.encode(right()),
        STANDARD.encode(wrong()),
    ]
}

fn right() -> String {
    format!("user:{MARKER}")
}

fn wrong() -> String {
    format!("{MARKER}:{MARKER}")
}

/// A provider's function, with its endpoint of DynamoDB, where everything talks as much as it can.
fn talkative(provider: &str, dynamodb: &str) -> Environment {
    let list = |name| format!("{}_{name}", provider.to_uppercase());
    let environment =
        Environment::of(provider, dynamodb).with(&list("CREDENTIALS"), accepted("right", &right()));
    let environment = if takes_keys(provider) {
        environment.with(&list("KEYS"), accepted("key", MARKER))
    } else {
        environment
    };
    environment
        .with("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .with("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .with("LOG_LEVEL", "trace")
        .with("RUST_BACKTRACE", "full")
        .with("RUST_LIB_BACKTRACE", "1")
        .with("RUST_LOG", "trace")
        .with("RUST_LOG_SPAN_EVENTS", "full")
}

/// The same request with the marker wherever else a sender, or API Gateway after it, can put it.
fn marked(request: Request) -> Request {
    let names = [
        "content-type",
        "cookie",
        "host",
        "user-agent",
        "x-amocrm-requestid",
        "x-forwarded-for",
        "traceparent",
    ];
    let request = names
        .into_iter()
        .fold(request, |request, name| request.header(name, MARKER));
    request
        .header(MARKER, MARKER)
        .header(&format!("bad {MARKER}\u{1}"), MARKER)
        .header("x-bad", &format!("{MARKER}\u{1}"))
        .query(&format!("{MARKER}={MARKER}&a=<{MARKER}>"))
        .with("/rawPath", format!("/{MARKER}"))
        .with("/cookies", json!([MARKER]))
        .with("/queryStringParameters", json!({ MARKER: MARKER }))
        .with("/pathParameters", json!({ "proxy": MARKER }))
        .with("/requestContext/domainName", MARKER)
        .with("/requestContext/authentication", MARKER)
        .with("/requestContext/http/path", MARKER)
        .with("/requestContext/http/sourceIp", MARKER)
        .with("/requestContext/http/userAgent", MARKER)
}

/// A delivery that can be read, and bears the marker in its name and in its values.
fn valid(provider: &str) -> String {
    let body = event(provider, 42)
        .replace("deal", MARKER)
        .replace("ThreadCreatedEvent", MARKER)
        .replace("Ada", MARKER);
    match provider {
        "amocrm" => format!(
            "{body}&leads[add][0][name]={MARKER}&{MARKER}[{MARKER}][0][id]={MARKER}&{MARKER}[{MARKER}][0][updated_at]=1795255200"
        ),
        _ => body.replacen('{', &format!(r#"{{"{MARKER}":"{MARKER}","#), 1),
    }
}

/// What is sent to a provider's URL, and the verdict.
fn deliveries(provider: &str) -> Vec<(Request, &'static str)> {
    let post = |body: &str| marked(Request::post(provider, body)).authorization(&basic(&right()));
    let body = valid(provider);
    let mut deliveries = vec![
        (post(&body), "kept"),
        (post(&body), "kept"),
        (post(&format!(r#"{{"{MARKER}":{MARKER}"#)), "quarantined"),
        (
            post(&format!(r#"{{"{MARKER}":"{MARKER}"}}"#)),
            "quarantined",
        ),
        (
            post(&format!("no base64 {MARKER}")).with("/isBase64Encoded", true),
            "quarantined",
        ),
        (
            post(MARKER).with("/body", format!("{MARKER}\u{0}\u{fffd}")),
            "quarantined",
        ),
        (post(""), "probe"),
        (
            marked(Request::with_method("GET", provider)).body(MARKER),
            "hello",
        ),
        (post(&body).authorization(&basic(&wrong())), "stranger"),
        (
            post(&body).authorization(&format!("Bearer {MARKER}")),
            "stranger",
        ),
        (post(&body).authorization(MARKER), "stranger"),
        (
            post(&body)
                .unauthorized()
                .query(&format!("key={MARKER}&key={MARKER}")),
            "stranger",
        ),
        (
            post(&body)
                .unauthorized()
                .with("/requestContext/http/method", MARKER),
            "stranger",
        ),
        (post(&body).with("/requestContext", MARKER), "kept"),
        (post(&body).with("/headers", MARKER), "stranger"),
    ];
    if takes_keys(provider) {
        deliveries.push((
            post(&body).unauthorized().query(&format!("key={MARKER}")),
            "kept",
        ));
    }
    deliveries
}

/// Whether a provider may send a key in the URL.
fn takes_keys(name: &str) -> bool {
    let is_it = |provider: &providers::Provider| provider.name == name;
    let provider = providers::ALL.into_iter().find(is_it).unwrap();
    provider.credentials == providers::Credentials::BasicOrKey
}

/// What is no event of API Gateway's, or no JSON at all.
fn garbage() -> Vec<Bytes> {
    let events = [
        format!("\"{MARKER}\""),
        format!("[\"{MARKER}\"]"),
        format!(r#"{{"{MARKER}":"{MARKER}"}}"#),
        format!(r#"{{"Records":[{{"body":"{MARKER}"}}]}}"#),
        format!(
            r#"{{"requestContext":{{"requestId":1,"http":"{MARKER}"}},"body":{{"{MARKER}":1}}}}"#
        ),
        MARKER.to_owned(),
        format!("{{\"{MARKER}\":{MARKER}}}"),
        format!("[\"{MARKER}"),
    ];
    let not_utf8 = [format!("\"{MARKER}").as_bytes(), b"\xff\""].concat();
    events
        .into_iter()
        .map(Bytes::from)
        .chain([not_utf8.into()])
        .collect()
}

async fn dynamodb() -> DynamoDb {
    DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap()
}

#[tokio::test]
async fn nothing_that_was_sent_is_told() {
    for provider in providers::ALL.map(|provider| provider.name) {
        let dynamodb = dynamodb().await;
        let mut function =
            Function::spawn(binary(provider), &talkative(provider, &dynamodb.endpoint())).await;
        let mut verdicts = Vec::new();
        for (request, verdict) in deliveries(provider) {
            assert!(matches!(
                function.invoke(request).await,
                Answer::Response(_)
            ));
            verdicts.push(verdict);
        }
        // On a busy machine a new event may be one too: an attempt that was given up took effect.
        let mut logged = logged(&function);
        assert!(logged.iter().any(|verdict| verdict == "duplicate"));
        logged
            .iter_mut()
            .filter(|verdict| *verdict == "duplicate")
            .for_each(|verdict| *verdict = "kept".to_owned());
        assert_eq!(logged, verdicts, "{provider}");
        for event in garbage() {
            function.invoke(event).await;
        }
        assert!(function.is_alive());
        assert_silent(&function);
    }
}

#[tokio::test]
async fn nothing_is_told_of_a_store_that_fails() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    for provider in providers::ALL.map(|provider| provider.name) {
        let environment = talkative(provider, &format!("http://{closed}"))
            .with("AWS_ENDPOINT_URL_SQS", format!("http://{closed}"))
            .with("HOOKKEEPER_SPOOL_URL", format!("http://{closed}/spool"));
        let mut function = Function::spawn(binary(provider), &environment).await;
        for body in [&*valid(provider), MARKER] {
            let request = marked(Request::post(provider, body)).authorization(&basic(&right()));
            assert_eq!(function.invoke(request).await.status(), 503);
        }
        assert_eq!(logged(&function), ["unavailable", "unavailable"]);
        assert_silent(&function);
    }
}

#[tokio::test]
async fn nothing_is_told_of_a_panic_but_its_place() {
    let dynamodb = dynamodb().await;
    let mut function = Function::spawn(
        binary("panicking"),
        &talkative("pipedrive", &dynamodb.endpoint()),
    )
    .await;
    let request = Request::post("pipedrive", &format!("panic! {MARKER}"));
    assert_eq!(
        function
            .invoke(marked(request).authorization(&basic(&right())))
            .await
            .status(),
        200
    );
    assert_eq!(logged(&function), ["quarantined"]);
    let first: Value = serde_json::from_str(function.stdout().lines().next().unwrap()).unwrap();
    assert!(
        first["panic"]
            .as_str()
            .is_some_and(|place| place.contains("panicking.rs:")),
        "{first}"
    );
    assert_silent(&function);
}

/// The verdicts of the lines that a function logged. Each of its lines is one of these, or says where a panic was.
fn logged(function: &Function) -> Vec<String> {
    let lines: Vec<Value> = function
        .stdout()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (panics, deliveries): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.get("panic").is_some());
    assert!(
        panics
            .iter()
            .all(|line| line.as_object().unwrap().len() == 1)
    );
    deliveries.into_iter().map(verdict).collect()
}

/// The verdict of a line, which has the form that CloudWatch reads metrics from.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn verdict(line: &Value) -> String {
    let verdict = line["verdict"].as_str().unwrap().to_owned();
    if line.get("_aws").is_none() {
        assert!(
            ["probe", "hello"].contains(&&*verdict),
            "no metric tells of {line}"
        );
        return verdict;
    }
    assert!(
        line["_aws"]["Timestamp"]
            .as_u64()
            .is_some_and(|millis| millis > 1_700_000_000_000),
        "{line}"
    );
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert_eq!(directive["Namespace"], "Hookkeeper");
        for dimension in directive["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|set| set.as_array().unwrap())
        {
            assert!(
                line[dimension.as_str().unwrap()].is_string(),
                "{dimension} of {line}"
            );
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(
                line[metric["Name"].as_str().unwrap()].is_number(),
                "{metric} of {line}"
            );
        }
    }
    verdict
}

/// That no secret is in what a function printed or posted.
fn assert_silent(function: &Function) {
    assert!(!function.posts().is_empty());
    let told = [vec![function.stdout(), function.stderr()], function.posts()].concat();
    for text in told {
        for secret in secrets() {
            assert!(!text.contains(&secret), "{secret} is told in {text}");
        }
    }
}
