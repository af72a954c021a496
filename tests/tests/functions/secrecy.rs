//! No content of a request is logged, printed or returned, whether or not it is authorized. A marker is put in
//! every place that a sender controls and goes through every verdict of the real binaries with the
//! most verbose logging. It must not appear in any output. The log has one line in CloudWatch's
//! embedded metric format for each delivery.

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use testkit::{
    provider as provider_of,
    request::{Request, accepted, basic, event},
    runtime_api::{Answer, Environment, Function, binary},
    site::Site,
};

/// Lowercase, like header names.
const MARKER: &str = "xyzzymarker";

/// Texts that must not appear in any output: the marker, and credentials with it as in a header.
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

/// The environment of a provider's function with a DynamoDB endpoint and the most verbose logging.
fn talkative(provider: &str, dynamodb: &str) -> Environment {
    let prefix = provider.to_uppercase();
    let keys = if takes_keys(provider) {
        accepted("key", MARKER)
    } else {
        String::new()
    };
    Environment::of(provider, dynamodb)
        .with(
            &format!("{prefix}_CREDENTIALS"),
            accepted("right", &right()),
        )
        .with(&format!("{prefix}_KEYS"), keys)
        .with("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .with("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .with("LOG_LEVEL", "trace")
        .with("RUST_BACKTRACE", "full")
        .with("RUST_LIB_BACKTRACE", "1")
        .with("RUST_LOG", "trace")
        .with("RUST_LOG_SPAN_EVENTS", "full")
}

/// The same request with the marker in every other place that a sender or API Gateway fills.
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

/// A valid delivery with the marker in a name and in the values.
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

/// Requests to a provider's URL, and their verdicts.
fn deliveries(provider: &str) -> Vec<(Request, &'static str)> {
    let post = |body: &str| marked(Request::post(provider, body)).authorization(&basic(&right()));
    let body = valid(provider);
    let mut deliveries = vec![
        (post(&body), "stored"),
        (post(&body), "stored"),
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
            "url_check",
        ),
        (post(&body).authorization(&basic(&wrong())), "unauthorized"),
        (
            post(&body).authorization(&format!("Bearer {MARKER}")),
            "unauthorized",
        ),
        (post(&body).authorization(MARKER), "unauthorized"),
        (
            post(&body)
                .unauthorized()
                .query(&format!("key={MARKER}&key={MARKER}")),
            "unauthorized",
        ),
        (
            post(&body)
                .unauthorized()
                .with("/requestContext/http/method", MARKER),
            "unauthorized",
        ),
        (post(&body).with("/requestContext", MARKER), "stored"),
        (post(&body).with("/headers", MARKER), "unauthorized"),
    ];
    if takes_keys(provider) {
        deliveries.push((
            post(&body).unauthorized().query(&format!("key={MARKER}")),
            "stored",
        ));
    }
    deliveries
}

/// Whether a provider may send a key in the URL.
fn takes_keys(name: &str) -> bool {
    provider_of(name).supports(providers::Scheme::UrlKey)
}

/// Payloads that are not an API Gateway event, or not JSON.
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

#[tokio::test]
async fn payloads_and_credentials_are_never_logged_or_returned() {
    for provider in providers::ALL.map(|provider| provider.name) {
        let site = Site::start().await;
        let mut function =
            Function::spawn(binary(provider), &talkative(provider, &site.endpoint())).await;
        let mut verdicts = Vec::new();
        for (request, verdict) in deliveries(provider) {
            assert!(matches!(
                function.invoke(request).await,
                Answer::Response(_)
            ));
            verdicts.push(verdict);
        }
        // On a busy machine a new event may be a duplicate too: an attempt that timed out took
        // effect.
        let mut logged = logged(&function);
        assert!(logged.iter().any(|verdict| verdict == "duplicate"));
        logged
            .iter_mut()
            .filter(|verdict| *verdict == "duplicate")
            .for_each(|verdict| *verdict = "stored".to_owned());
        assert_eq!(logged, verdicts, "{provider}");
        for event in garbage() {
            function.invoke(event).await;
        }
        assert!(function.is_alive());
        assert_silent(&function);
    }
}

#[tokio::test]
async fn a_failing_store_reveals_no_payload() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    for provider in providers::ALL.map(|provider| provider.name) {
        let environment = talkative(provider, &format!("http://{closed}"))
            .with("AWS_ENDPOINT_URL_SQS", format!("http://{closed}"))
            .with(
                "HOOKKEEPER_FALLBACK_QUEUE_URL",
                format!("http://{closed}/queue"),
            );
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
async fn a_panic_reveals_only_its_source_location() {
    let site = Site::start().await;
    let mut function = Function::spawn(
        binary("panicking"),
        &talkative("pipedrive", &site.endpoint()),
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
    let first = &function.log()[0];
    assert!(
        first["panic"]
            .as_str()
            .is_some_and(|place| place.contains("panicking.rs:")),
        "{first}"
    );
    assert_silent(&function);
}

/// The verdicts in the log of a function. Each line has a verdict or the location of a panic.
fn logged(function: &Function) -> Vec<String> {
    let lines = function.log();
    let (panics, deliveries): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.get("panic").is_some());
    assert!(
        panics
            .iter()
            .all(|line| line.as_object().unwrap().len() == 1)
    );
    deliveries.into_iter().map(verdict).collect()
}

/// The verdict of a log line, which must be in CloudWatch's embedded metric format.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn verdict(line: &Value) -> String {
    let verdict = line["verdict"].as_str().unwrap().to_owned();
    if line.get("_aws").is_none() {
        assert_eq!(verdict, "probe", "no metric counts {line}");
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

/// Asserts that a function printed and posted no secret.
fn assert_silent(function: &Function) {
    assert!(!function.posts().is_empty());
    let output = [vec![function.stdout(), function.stderr()], function.posts()].concat();
    for text in output {
        for secret in secrets() {
            assert!(!text.contains(&secret), "{secret} is in {text}");
        }
    }
}
