//! `hookkeeper deploy`: deploys a release to an account of AWS on this machine.

mod aws;

use crate::process::{Killed, lines_of, wait};
use aws::{Aws, BUCKET, Stack};
use hookkeeper::template::TEMPLATE;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{dev::send_signal, runtime_api::binary};
use tokio::task::block_in_place;

const FUNCTIONS: [&str; 6] = [
    "amocrm",
    "closer",
    "drain",
    "guardian",
    "pipedrive",
    "relay",
];

/// A release in a folder of its own.
struct Release(TempDir);

impl Release {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        let mut template = TEMPLATE.to_owned();
        for name in FUNCTIONS {
            let path = format!("functions/{name}\n");
            assert!(template.contains(&path), "{path}");
            template = template.replace(&path, &format!("./{name}.zip\n"));
            fs::write(
                folder.path().join(format!("{name}.zip")),
                format!("code of {name}"),
            )
            .unwrap();
        }
        fs::write(folder.path().join("template.yaml"), template).unwrap();
        let release = Self(folder);
        release.sum();
        release
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes the checksums of its files.
    fn sum(&self) {
        let zips = FUNCTIONS.map(|name| format!("{name}.zip"));
        let mut sums = String::new();
        for name in zips.iter().map(|name| &**name).chain(["template.yaml"]) {
            let digest = hex::encode(Sha256::digest(fs::read(self.path().join(name)).unwrap()));
            writeln!(sums, "{digest}  {name}").unwrap();
        }
        fs::write(self.path().join("SHA256SUMS"), sums).unwrap();
    }

    fn command(&self, aws: &Aws, arguments: &[&str]) -> Command {
        let from = ["deploy", "--from", self.path().to_str().unwrap()];
        aws.command(&[&from, arguments].concat())
    }

    /// Runs the command without a terminal.
    fn output(&self, aws: &Aws, arguments: &[&str]) -> Output {
        let mut command = self.command(aws, arguments);
        block_in_place(|| command.stdin(Stdio::null()).output().unwrap())
    }

    /// What the command prints if it succeeds.
    fn deploy(&self, aws: &Aws, arguments: &[&str]) -> String {
        let output = self.output(aws, arguments);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON that the command prints if it succeeds.
    fn deploy_json(&self, aws: &Aws, arguments: &[&str]) -> Value {
        let printed = self.deploy(aws, &[arguments, &["--yes", "--output", "json"]].concat());
        serde_json::from_str(&printed).unwrap()
    }

    /// The exit status and the error of a command that fails without a result.
    fn fail(&self, aws: &Aws, arguments: &[&str]) -> (i32, String) {
        let output = self.output(aws, arguments);
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code().unwrap(), said(&output))
    }
}

/// What a command printed to standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Name of a damage, what makes it, and the exit status and the sentence that it causes.
type Damage = (&'static str, fn(&Path), i32, &'static str);

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_stack_accepts_the_credentials_that_are_printed() {
    let (aws, release) = (Aws::start().await, Release::new());
    let arguments = ["pipedrive", "amocrm", "--set", "RetentionDays=365"];
    let result = release.deploy_json(&aws, &arguments);
    assert_eq!(result["stack"], "hookkeeper");
    assert_eq!(result["region"], "eu-central-1");
    assert_eq!(result["changed"], true);
    assert_eq!(
        result["outputs"]["PipedriveUrl"],
        "https://api.example/pipedrive"
    );
    assert_eq!(result["outputs"]["CloserUrl"], Value::Null);
    let [pipedrive, amocrm] = &result["credentials"].as_array().unwrap()[..] else {
        panic!("{result}");
    };
    let basic = format!(
        "{}:{}",
        text(&pipedrive["user"]),
        text(&pipedrive["password"])
    );
    let key = text(&amocrm["key"]);
    let account = aws.account();
    let parameters = &account.stacks["hookkeeper"].parameters;
    for (made, secret) in [(pipedrive, &*basic), (amocrm, key)] {
        let value = &parameters[text(&made["parameter"])];
        assert_eq!(made["value"], **value);
        assert_eq!(
            *value,
            format!("{}:{}", text(&made["label"]), digest(secret))
        );
    }
    assert_eq!(parameters["RetentionDays"], "365");
    assert_eq!(parameters["CloserKeys"], "");
    for secret in [text(&pipedrive["password"]), text(&pipedrive["user"]), key] {
        assert!(!account.received.contains(secret), "AWS received a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_is_uploaded_under_its_digest_and_only_once() {
    let (aws, release) = (Aws::start().await, Release::new());
    release.deploy(&aws, &["closer", "--yes"]);
    let keys = FUNCTIONS.map(|name| format!("{}.zip", digest(&format!("code of {name}"))));
    let uploads = std::mem::take(&mut aws.account().uploads);
    assert_eq!(uploads[..6], keys, "the last one is the template");
    assert_eq!(uploads.len(), 7);
    let template = aws.account().stacks["hookkeeper"].template.clone();
    for key in &keys {
        assert!(
            template.contains(&format!("      CodeUri: s3://{BUCKET}/{key}\n")),
            "{key}"
        );
    }
    fs::write(release.path().join("drain.zip"), "new code").unwrap();
    release.sum();
    let result = release.deploy_json(&aws, &[]);
    assert_eq!(result["changed"], true);
    let uploads = std::mem::take(&mut aws.account().uploads);
    assert_eq!(uploads[0], format!("{}.zip", digest("new code")));
    assert_eq!(uploads.len(), 2, "the zip and the template: {uploads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_the_user_needs_no_stack_of_its_own() {
    let (aws, release) = (Aws::start().await, Release::new());
    release.deploy(&aws, &["closer", "--bucket", "mine", "--yes"]);
    let account = aws.account();
    assert!(account.stacks.keys().eq(["hookkeeper"]));
    assert!(account.objects.keys().all(|path| path.starts_with("mine/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_what_is_not_set() {
    let (aws, release) = (Aws::start().await, Release::new());
    let address = ["--alarm-email", "you@example.com"];
    let settings = ["--set", "ForwardSecret=x", "--set", "RetentionDays=365"];
    release.deploy(
        &aws,
        &[&["pipedrive", "--yes"], &address[..], &settings].concat(),
    );
    let before = aws.account().stacks["hookkeeper"].parameters.clone();
    // A parameter that an older version had, one that it did not have, and functions on another
    // architecture.
    {
        let mut account = aws.account();
        let parameters = &mut account.stacks.get_mut("hookkeeper").unwrap().parameters;
        parameters.insert("Removed".to_owned(), "1".to_owned());
        parameters.remove("NoTrafficHours").unwrap();
        parameters.insert("Architecture".to_owned(), "arm64".to_owned());
    }
    let update = ["pipedrive", "closer", "--set", "QuarantineDays=30", "--yes"];
    let output = release.output(&aws, &[&update[..], &["--output", "json"]].concat());
    assert!(
        said(&output).contains("pipedrive has a credential already, and keeps it."),
        "{output:?}"
    );
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let made = result["credentials"].as_array().unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["provider"], "closer");
    let mut expected = before;
    expected.insert("QuarantineDays".to_owned(), "30".to_owned());
    expected.insert("CloserKeys".to_owned(), text(&made[0]["value"]).to_owned());
    assert_eq!(aws.account().stacks["hookkeeper"].parameters, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_read_from_standard_input() {
    let (aws, release) = (Aws::start().await, Release::new());
    let settings = ["--set", "ForwardSecret=-", "--yes"];
    let mut command = release.command(&aws, &[&["pipedrive"], &settings[..]].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = command.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    input.write_all(b"s3cret\n").unwrap();
    let status = block_in_place(|| running.wait().unwrap());
    assert!(status.success());
    let parameters = &aws.account().stacks["hookkeeper"].parameters;
    assert_eq!(parameters["ForwardSecret"], "s3cret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_changes_is_left_alone() {
    let (aws, release) = (Aws::start().await, Release::new());
    release.deploy(&aws, &["pipedrive", "--yes"]);
    aws.account().actions.clear();
    let output = release.output(&aws, &["--yes"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said(&output).contains("No changes: the stack hookkeeper is already so."),
        "{output:?}"
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("PipedriveUrl  https://api.example/pipedrive\n"),
        "{printed}"
    );
    assert!(!printed.contains("Next:"), "{printed}");
    let actions = std::mem::take(&mut aws.account().actions);
    assert_eq!(actions.last().map(String::as_str), Some("DeleteChangeSet"));
    assert!(!actions.contains(&"ExecuteChangeSet".to_owned()));
    let result = release.deploy_json(&aws, &[]);
    assert_eq!(result["changed"], false);
    assert_eq!(result["credentials"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_are_shown_whole() {
    let (aws, release) = (Aws::start().await, Release::new());
    let output = release.output(&aws, &["pipedrive", "--yes"]);
    // The last one is on the second page.
    for line in ["Add     Alarms ", "Add     TooManyRequestsMetric "] {
        assert!(said(&output).contains(line), "{line}: {output:?}");
    }
    fs::write(release.path().join("relay.zip"), "new code").unwrap();
    release.sum();
    let output = release.output(&aws, &["--yes"]);
    let changes = "\nModify  RelayFunction  AWS::Serverless::Function  replaced\n";
    assert!(said(&output).contains(changes), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_steps_are_those_that_apply() {
    let (aws, release) = (Aws::start().await, Release::new());
    let mail = "mail that AWS sent to you@example.com";
    let protection = "--enable-termination-protection --stack-name crm --region eu-west-1`";
    let of_stack = ["--stack", "crm", "--region", "eu-west-1", "--yes"];
    let first = ["amocrm", "closer", "--alarm-email", "you@example.com"];
    let printed = release.deploy(&aws, &[&first[..], &of_stack].concat());
    let steps: Vec<_> = printed.split_once("\nNext:\n").unwrap().1.lines().collect();
    for (step, part) in steps.iter().zip([
        mail,
        "amocrm: run `hookkeeper register amocrm --account <host of the account> --stack crm --region eu-west-1`",
        "closer: enter its URL and the credential above in its settings",
        "`hookkeeper doctor --stack crm --region eu-west-1`",
        protection,
    ]) {
        assert!(step.contains(part), "{step}");
    }
    assert_eq!(steps.len(), 5);
    aws.account().stacks.get_mut("crm").unwrap().is_protected = true;
    let again = [
        "--set",
        "RetentionDays=1",
        "--alarm-email",
        "you@example.com",
    ];
    let printed = release.deploy(&aws, &[&again[..], &of_stack].concat());
    let (_, steps) = printed.split_once("\nNext:\n").unwrap();
    assert_eq!(steps.lines().count(), 1, "{steps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_release_is_refused_before_aws_is_asked() {
    let damages: [Damage; 6] = [
        (
            "a changed zip",
            |folder| fs::write(folder.join("drain.zip"), "x").unwrap(),
            1,
            "drain.zip differs",
        ),
        (
            "no zip",
            |folder| fs::remove_file(folder.join("relay.zip")).unwrap(),
            1,
            "relay.zip is missing",
        ),
        (
            "a changed template",
            |folder| fs::write(folder.join("template.yaml"), "Resources: {}").unwrap(),
            1,
            "template.yaml differs",
        ),
        (
            "no checksum",
            |folder| {
                let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
                fs::write(
                    folder.join("SHA256SUMS"),
                    sums.replace("closer.zip", "other.zip"),
                )
                .unwrap();
            },
            1,
            "SHA256SUMS has no closer.zip",
        ),
        (
            "no checksums",
            |folder| fs::remove_file(folder.join("SHA256SUMS")).unwrap(),
            2,
            "it has no SHA256SUMS",
        ),
        (
            "the template of the source",
            |folder| {
                fs::write(folder.join("template.yaml"), TEMPLATE).unwrap();
                let digest = digest(TEMPLATE);
                fs::write(
                    folder.join("SHA256SUMS"),
                    format!("{digest}  template.yaml\n"),
                )
                .unwrap();
            },
            2,
            "make `dist/` from source with `scripts/release`",
        ),
    ];
    let aws = Aws::start().await;
    for (name, damage, code, why) in damages {
        let release = Release::new();
        damage(release.path());
        let (status, error) = release.fail(&aws, &["pipedrive", "--yes"]);
        assert_eq!(status, code, "{name}: {error}");
        assert!(error.contains(why), "{name}: {error}");
        if code == 1 {
            assert!(
                error.contains("is incomplete or damaged"),
                "{name}: {error}"
            );
        }
    }
    let folder = ["deploy", "pipedrive", "--yes"];
    let output = block_in_place(|| aws.command(&folder).stdin(Stdio::null()).output().unwrap());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("is not a release (it has no template.yaml)"),
        "{output:?}"
    );
    assert_eq!(aws.account().received, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_release_beside_the_command_is_used() {
    let built = binary("hookkeeper");
    // A link needs the same file system.
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let (aws, release) = (Aws::start().await, Release::in_folder(folder));
    let unpacked = release.path().join("hookkeeper");
    fs::hard_link(built, &unpacked).unwrap();
    let command = aws.command(&["deploy", "pipedrive", "--yes"]);
    let mut own = Command::new(unpacked);
    own.args(command.get_args())
        .stdin(Stdio::null())
        .env_clear();
    own.envs(variables(&command));
    let output = block_in_place(|| own.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert!(aws.account().stacks.contains_key("hookkeeper"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_rejected_before_anything_is_uploaded() {
    let (aws, release) = (Aws::start().await, Release::new());
    let set = |setting| ["pipedrive", "--yes", "--set", setting];
    let table: [(&[&str], &str); 8] = [
        (
            &set("RetentionDay=1"),
            "no parameter RetentionDay. Similar: RetentionDays,",
        ),
        (&set("RetentionDays"), "expected NAME=VALUE"),
        (
            &[&set("RetentionDays=1")[..], &["--set", "RetentionDays=2"]].concat(),
            "RetentionDays is set twice",
        ),
        (
            &set("AlarmEmail=you@example.com"),
            "set AlarmEmail with --alarm-email",
        ),
        (
            &set("PipedriveCredentials=a:b"),
            "PipedriveCredentials is set: leave out pipedrive",
        ),
        (
            &["pipedrive", "pipedrive", "--yes"],
            "a provider is named twice",
        ),
        (
            &["pipedrive"],
            "stdin is not a terminal: pass --yes to confirm",
        ),
        (
            &["--yes"],
            "there is no stack hookkeeper: for a new one, name its providers",
        ),
    ];
    for (arguments, sentence) in table {
        let (code, error) = release.fail(&aws, arguments);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(sentence), "{error}");
    }
    assert!(aws.account().uploads.is_empty());
    assert!(aws.account().stacks.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_creation_names_the_reason_and_shows_no_secret() {
    let (aws, release) = (Aws::start().await, Release::new());
    aws.account().fails = Some(["AlarmMail", "Invalid parameter: Email address"]);
    let (code, error) = release.fail(&aws, &["pipedrive", "--yes"]);
    assert_eq!(code, 1);
    let reason = "the deployment failed (AlarmMail: Invalid parameter: Email address); \
        the stack hookkeeper is ROLLBACK_COMPLETE";
    assert!(error.contains(reason), "{error}");
    assert!(
        error.contains("`aws cloudformation delete-stack --stack-name hookkeeper`"),
        "{error}"
    );
    aws.account().stacks.remove("hookkeeper");
    release.deploy(&aws, &["pipedrive", "--yes"]);
    aws.account().fails = Some(["CloserRole", "not authorized"]);
    let (code, error) = release.fail(&aws, &["closer", "--yes"]);
    assert_eq!(code, 1);
    let reason = "(CloserRole: not authorized); the stack hookkeeper is as it was before";
    assert!(error.contains(reason), "{error}");
    assert_eq!(
        aws.account().stacks["hookkeeper"].parameters["CloserKeys"],
        ""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_wait_shows_the_secrets_that_the_stack_may_accept() {
    let (aws, release) = (Aws::start().await, Release::new());
    aws.account().hangs = true;
    let mut command = release.command(&aws, &["closer", "--yes"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Killed(command.spawn().unwrap());
    let is_deploying = || {
        aws.account()
            .actions
            .iter()
            .any(|action| action == "ExecuteChangeSet")
    };
    while !is_deploying() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send_signal(&process.0, "-INT");
    let lines = lines_of(&mut process);
    assert_eq!(wait(&mut process).code(), Some(1));
    let printed: Vec<_> = lines.iter().collect();
    let key = printed
        .iter()
        .find_map(|line| line.split_once("?key="))
        .unwrap()
        .1;
    let accepted = &aws.account().stacks["hookkeeper"].parameters["CloserKeys"];
    assert!(accepted.ends_with(&digest(key)), "{accepted}");
    let mut error = String::new();
    std::io::Read::read_to_string(process.0.stderr.as_mut().unwrap(), &mut error).unwrap();
    assert!(
        error.contains("interrupted: AWS goes on with the deployment of the stack hookkeeper"),
        "{error}"
    );
    assert!(
        error.contains("`hookkeeper doctor --stack hookkeeper`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_be_updated_is_refused_with_a_command() {
    let (aws, release) = (Aws::start().await, Release::new());
    release.deploy(&aws, &["pipedrive", "--yes"]);
    for (status, command) in [
        ("ROLLBACK_COMPLETE", "delete-stack"),
        ("REVIEW_IN_PROGRESS", "delete-stack"),
        ("DELETE_FAILED", "delete-stack"),
        ("UPDATE_IN_PROGRESS", "describe-stacks"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "describe-stacks"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
    ] {
        aws.account().uploads.clear();
        status.clone_into(&mut aws.account().stacks.get_mut("hookkeeper").unwrap().status);
        let (code, error) = release.fail(&aws, &["--set", "RetentionDays=1", "--yes"]);
        assert_eq!(code, 1);
        assert!(
            error.contains(&format!("the stack hookkeeper is {status}: ")),
            "{error}"
        );
        let command = format!("`aws cloudformation {command} --stack-name hookkeeper`");
        assert!(error.contains(&command), "{error}");
        assert!(aws.account().uploads.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stack_of_that_name_is_not_touched() {
    let (aws, release) = (Aws::start().await, Release::new());
    let other = Stack::with_status("CREATE_COMPLETE");
    aws.account().stacks.insert("shop".to_owned(), other);
    let (code, error) = release.fail(&aws, &["pipedrive", "--stack", "shop", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("the stack shop is not one of Hookkeeper"),
        "{error}"
    );
    assert_eq!(aws.account().actions, ["DescribeStacks"]);
}

/// The environment variables that a command is given.
fn variables(command: &Command) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    let variables = command.get_envs();
    variables.filter_map(|(name, value)| Some((name, value?)))
}

/// Runs the command on a terminal, and enters lines there.
fn on_terminal(release: &Release, aws: &Aws, arguments: &[&str], lines: &str) -> Output {
    let command = release.command(aws, arguments);
    let program = command.get_program().to_str().unwrap();
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_str().unwrap())
        .collect();
    let mut script = Command::new("script");
    if cfg!(target_os = "linux") {
        let line = format!("{program} {}", arguments.join(" "));
        script.args(["-qec", &line, "/dev/null"]);
    } else {
        script.args(["-q", "/dev/null", program]).args(arguments);
    }
    script
        .env_clear()
        .envs(variables(&command))
        .env("PATH", std::env::var("PATH").unwrap());
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = script.spawn().unwrap();
    std::io::Write::write_all(process.stdin.as_mut().unwrap(), lines.as_bytes()).unwrap();
    block_in_place(|| process.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_answers_no_leaves_nothing_behind() {
    let (aws, release) = (Aws::start().await, Release::new());
    let output = on_terminal(&release, &aws, &["pipedrive"], "n\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("Deploy? [y/N]"), "{printed}");
    assert!(printed.contains("error: nothing was deployed"), "{printed}");
    assert!(!printed.contains("password"), "{printed}");
    assert!(aws.account().stacks.keys().eq(["hookkeeper-code"]));
    release.deploy(&aws, &["pipedrive", "--yes"]);
    let before = aws.account().stacks["hookkeeper"].parameters.clone();
    aws.account().actions.clear();
    let output = on_terminal(&release, &aws, &["--set", "RetentionDays=1"], "\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(aws.account().stacks["hookkeeper"].parameters, before);
    assert_eq!(
        aws.account().actions.last().map(String::as_str),
        Some("DeleteChangeSet")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_asked_for_what_a_new_stack_needs() {
    let (aws, release) = (Aws::start().await, Release::new());
    let lines = "salesforce\ncloser, pipedrive\nyou@example.com\ny\n";
    let output = on_terminal(&release, &aws, &[], lines);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("expected one of pipedrive, amocrm, closer"),
        "{printed}"
    );
    let account = aws.account();
    let parameters = &account.stacks["hookkeeper"].parameters;
    assert_eq!(parameters["AlarmEmail"], "you@example.com");
    let is_set = ["PipedriveCredentials", "AmocrmKeys", "CloserKeys"]
        .map(|name| !parameters[name].is_empty());
    assert_eq!(is_set, [true, false, true]);
}
