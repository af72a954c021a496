//! Errors of a command that cannot call AWS: one sentence with advice, and no internal detail of a
//! library.

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
};
use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command};
use testkit::dev::hookkeeper;
use tokio::net::TcpListener;

/// A home directory without AWS configuration, or with that of a test.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Configures one profile, `work`, with credentials.
    fn with_a_profile() -> Self {
        let home = Self::new();
        fs::write(home.file("config"), "[profile work]\nregion = us-east-1\n").unwrap();
        fs::write(
            home.file("credentials"),
            "[work]\naws_access_key_id = id\naws_secret_access_key = secret\n",
        )
        .unwrap();
        home
    }

    /// The command in this home, without the environment variables of the user.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = hookkeeper(arguments);
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("CARGO", "cargo")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", self.file("config"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.file("credentials"));
        command.envs(variables.iter().copied());
        command
    }
}

/// The error that a command prints on standard error: one sentence.
async fn said(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.lines().count()),
        (Some(1), 1),
        "{said}"
    );
    for inside in [
        "dispatch failure",
        "unhandled",
        "Error {",
        "service error",
        "IMDS",
        "Some(",
    ] {
        assert!(!said.contains(inside), "{inside} in: {said}");
    }
    said.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

/// Commands that call AWS, and their additional advice.
const COMMANDS: [(&[&str], &str); 3] = [
    (&["events"], ", or use --local for `cargo dev`"),
    (
        &["events", "--table", "t"],
        ", or use --local for `cargo dev`",
    ),
    (&["credentials", "closer", "--add"], ""),
];
const REGION: (&str, &str) = ("AWS_REGION", "us-east-1");
const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

#[tokio::test]
async fn missing_credentials_are_an_error_with_advice() {
    let expected =
        "no AWS credentials were found: run `aws sso login`, or set AWS_PROFILE or --profile";
    for (arguments, more) in COMMANDS {
        assert_eq!(
            said(Home::new().command(arguments, &[REGION])).await,
            format!("{expected}{more}"),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_profile_is_named_in_the_error() {
    let expected = "there is no AWS profile nosuch: `aws configure list-profiles` lists them; choose one with --profile or AWS_PROFILE, or use --local for `cargo dev`";
    for home in [Home::new(), Home::with_a_profile()] {
        let by_option = said(home.command(&["events", "--profile", "nosuch"], &[REGION])).await;
        assert_eq!(by_option, expected);
        let by_environment =
            said(home.command(&["events"], &[REGION, ("AWS_PROFILE", "nosuch")])).await;
        assert_eq!(by_environment, expected);
        let by_doctor = said(home.command(&["doctor", "--profile", "nosuch"], &[REGION])).await;
        assert!(expected.starts_with(&by_doctor), "{by_doctor}");
    }
}

#[tokio::test]
async fn credentials_that_fail_to_load_are_an_error_with_the_cause() {
    let home = Home::new();
    fs::write(
        home.file("config"),
        "[profile work]\nregion = us-east-1\ncredential_process = /nowhere/at-all\n",
    )
    .unwrap();
    let said = said(home.command(&["events", "--profile", "work"], &[])).await;
    assert!(
        said.starts_with("the AWS credentials cannot be loaded ("),
        "{said}"
    );
    assert!(
        said.contains("run `aws sso login`, or set AWS_PROFILE or --profile, or use --local"),
        "{said}"
    );
}

#[tokio::test]
async fn a_missing_region_is_an_error_with_advice() {
    let expected = "no AWS region is set: use --region or AWS_REGION";
    for (arguments, more) in COMMANDS {
        let said = said(Home::new().command(arguments, &CREDENTIALS)).await;
        assert_eq!(said, format!("{expected}{more}"), "{arguments:?}");
    }
}

/// An endpoint that returns the same response to every request.
async fn endpoint(status: StatusCode, content_type: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || async move {
        (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
    };
    let app = Router::new().fallback(answer);
    tokio::spawn(axum::serve(listener, app).into_future());
    format!("http://{address}")
}

#[tokio::test]
async fn errors_of_cloudformation_are_shown_with_the_code_and_message_of_aws() {
    for (code, message) in [
        ("ValidationError", "Stack with id nope does not exist"),
        (
            "AccessDenied",
            "User: arn:aws:iam::1:user/ada is not authorized to perform: cloudformation:DescribeStacks",
        ),
    ] {
        let is_missing = message.contains("does not exist");
        let body = format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        );
        let url = endpoint(StatusCode::BAD_REQUEST, "text/xml", body.leak()).await;
        let home = Home::with_a_profile();
        let arguments = [
            "events",
            "--stack",
            "nope",
            "--profile",
            "work",
            "--endpoint-url",
            &url,
        ];
        let said = said(home.command(&arguments, &[])).await;
        let expected = if is_missing {
            "there is no stack nope in us-east-1: deploy it, or name another with --stack, --profile or --region".to_owned()
        } else {
            format!(
                "the stack nope cannot be asked ({code}: {message}): name another with --stack, or do without (see --help)"
            )
        };
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn a_wrong_endpoint_is_an_error_with_its_http_status() {
    let url = endpoint(StatusCode::NOT_FOUND, "text/html", "<h1>not here</h1>").await;
    let home = Home::with_a_profile();
    for (what, of) in [("--table", "the table nope"), ("--stack", "the stack nope")] {
        let said = said(home.command(
            &[
                "events",
                what,
                "nope",
                "--profile",
                "work",
                "--endpoint-url",
                &url,
            ],
            &[],
        ))
        .await;
        assert!(said.starts_with(&format!("{of} cannot be ")), "{said}");
        assert!(said.contains("HTTP status 404"), "{said}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_error_with_the_cause_from_the_system() {
    let home = Home::with_a_profile();
    for what in ["--table", "--stack"] {
        let arguments = [
            "events",
            what,
            "t",
            "--profile",
            "work",
            "--endpoint-url",
            "http://127.0.0.1:1",
        ];
        let said = said(home.command(&arguments, &[("AWS_MAX_ATTEMPTS", "1")])).await;
        assert!(
            said.starts_with("AWS, or the endpoint that is set, cannot be reached (")
                && said.contains("Connection refused")
                && said.contains("--endpoint-url and AWS_ENDPOINT_URL, or use --local"),
            "{said}"
        );
    }
}
