//! A function and a table behind TLS: the trusted root certificates, and the time of the connect.

use serde_json::{Value, json};
use testkit::{
    benchmark::Terminator,
    request::{Request, event},
    runtime_api::{Environment, Function, binary},
    site::Site,
};

/// A table behind TLS, and the environment of a function that uses it.
struct Subject {
    site: Site,
    terminator: Terminator,
    /// Has another certificate authority, which is the only root certificate of the system here.
    _other: Terminator,
    environment: Environment,
}

impl Subject {
    async fn start() -> Self {
        let site = Site::start().await;
        let terminator = Terminator::start(site.port()).await;
        let other = Terminator::start(0).await;
        let environment = Environment::of("closer", terminator.endpoint())
            .accepting(&providers::CLOSER)
            .with("SSL_CERT_FILE", other.authority().to_string_lossy());
        Self {
            site,
            terminator,
            _other: other,
            environment,
        }
    }

    async fn spawn(&self, variable: &str) -> Function {
        let authority = self.terminator.authority().to_string_lossy().into_owned();
        let mut function = Function::spawn(
            binary("closer"),
            &self.environment.clone().with(variable, authority),
        )
        .await;
        function.polled().await;
        function
    }
}

/// The result of a delivery: the status, and the log line.
async fn send(function: &mut Function, number: u32) -> (u64, Value) {
    let status = function
        .invoke(Request::post("closer", &event("closer", number)))
        .await
        .status();
    (status, function.log().pop().unwrap())
}

#[tokio::test]
async fn a_function_connects_before_its_first_event_and_stores_nothing() {
    let subject = Subject::start().await;
    let mut function = subject.spawn("AWS_CA_BUNDLE").await;
    assert_eq!(subject.terminator.connections(), 1);
    assert!(subject.site.table.records().await.unwrap().is_empty());
    assert_eq!(send(&mut function, 1).await.0, 200);
    assert_eq!(
        subject.terminator.connections(),
        1,
        "the first delivery opens another connection"
    );
    assert_eq!(subject.site.table.records().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_certificate_authority_of_the_system_is_trusted_too() {
    let subject = Subject::start().await;
    let mut function = subject.spawn("SSL_CERT_FILE").await;
    let (status, line) = send(&mut function, 1).await;
    assert_eq!(
        (status, &line["verdict"]),
        (200, &json!("stored")),
        "{line}"
    );
    let connections = subject.terminator.connections();
    assert_eq!(send(&mut function, 2).await.0, 200);
    assert_eq!(
        subject.terminator.connections(),
        connections,
        "the root certificates of the system are read again"
    );
}

#[tokio::test]
async fn an_unknown_certificate_authority_is_not_trusted() {
    let subject = Subject::start().await;
    let mut function = subject.spawn("UNUSED").await;
    let (status, line) = send(&mut function, 1).await;
    assert_eq!(
        (status, &line["table_failure"]),
        (503, &json!("unreachable")),
        "{line}"
    );
    assert!(subject.site.table.records().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unusable_ca_bundle_ends_the_start_with_its_cause() {
    let subject = Subject::start().await;
    let table = [
        ("/nonexistent", "No such file or directory (os error 2)"),
        ("/dev/null", "it has no certificate in PEM"),
    ];
    for (path, why) in table {
        let environment = subject.environment.clone().with("AWS_CA_BUNDLE", path);
        let mut function = Function::spawn(binary("closer"), &environment).await;
        assert_eq!(function.ended().await.code(), Some(1));
        let sentence = format!(
            "closer cannot start: the file in AWS_CA_BUNDLE cannot be read as certificates: {why}\n"
        );
        assert_eq!(function.stderr(), sentence);
    }
}
