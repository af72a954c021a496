//! `hookkeeper credentials`: the printed digests accept the printed credential.

use ingest::{Authenticator, Request};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use providers::Scheme;
use serde_json::{Value, json};
use std::process::{Command, Output};
use testkit::{provider as provider_of, request::basic, runtime_api::binary};

fn run(arguments: &[&str]) -> Output {
    Command::new(binary("hookkeeper"))
        .arg("credentials")
        .args(arguments)
        .output()
        .unwrap()
}

/// The credential for the provider's settings, and the parameter with its value.
#[derive(Debug)]
struct Printed {
    shown: Credential,
    parameter: String,
    list: String,
}

#[derive(Debug)]
enum Credential {
    Key(String),
    Basic(String),
    Nothing,
}

fn printed(arguments: &[&str]) -> Printed {
    let output = run(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let after = |label: &str| {
        Some(
            text.split_once(label)?
                .1
                .split_whitespace()
                .next()?
                .to_owned(),
        )
    };
    let shown = match (after("?key="), after("user name"), after("password ")) {
        (Some(key), None, None) => Credential::Key(key),
        (None, Some(user), Some(password)) => Credential::Basic(format!("{user}:{password}")),
        (None, None, None) => Credential::Nothing,
        other => panic!("{other:?} of {text}"),
    };
    let (parameter, list) = text
        .split_once("sam deploy --parameter-overrides ")
        .unwrap()
        .1
        .trim()
        .split_once('=')
        .unwrap();
    Printed {
        shown,
        parameter: parameter.to_owned(),
        list: list.to_owned(),
    }
}

/// The label under which a list of digests accepts the printed credential.
fn label(provider: &str, shown: &Credential, list: &str) -> Option<String> {
    let provider = provider_of(provider);
    let mut event = ApiGatewayV2httpRequest::default();
    let authenticator = match shown {
        Credential::Key(key) => {
            event.raw_query_string = Some(format!("key={key}"));
            Authenticator::new(&provider, "", list)
        }
        Credential::Basic(credentials) => {
            let header = basic(credentials).parse().unwrap();
            event.headers.insert("authorization", header);
            Authenticator::new(&provider, list, "")
        }
        Credential::Nothing => return None,
    };
    let request = Request::from_event(event, None);
    let authenticated = authenticator.unwrap().authenticate(request)?;
    Some(authenticated.delivery().origin.credential.clone().unwrap())
}

#[test]
fn generated_credentials_authenticate() {
    for provider in providers::ALL {
        let new = printed(&[provider.name, "--label", "new"]);
        let has_key = provider.supports(Scheme::UrlKey);
        assert_eq!(matches!(new.shown, Credential::Key(_)), has_key);
        assert!(new.parameter.eq_ignore_ascii_case(&format!(
            "{}{}",
            provider.name,
            if has_key { "keys" } else { "credentials" }
        )));
        assert_eq!(
            label(provider.name, &new.shown, &new.list).as_deref(),
            Some("new")
        );
        let other = printed(&[provider.name, "--label", "new"]);
        assert_eq!(
            label(provider.name, &new.shown, &other.list),
            None,
            "two are the same"
        );
        let basic = printed(&[provider.name, "--basic"]);
        assert!(matches!(basic.shown, Credential::Basic(_)));
        assert!(
            label(provider.name, &basic.shown, &basic.list)
                .unwrap()
                .starts_with("20"),
            "the date"
        );
    }
}

#[test]
fn a_rotation_accepts_both_credentials_and_then_the_new_one_only() {
    let old = printed(&["amocrm", "--label", "old"]);
    let new = printed(&["amocrm", "--add", "--label", "new", "--digests", &old.list]);
    for (shown, name) in [(&old.shown, "old"), (&new.shown, "new")] {
        assert_eq!(label("amocrm", shown, &new.list).as_deref(), Some(name));
    }
    let left = printed(&["amocrm", "--drop", "old", "--digests", &new.list]);
    assert!(matches!(left.shown, Credential::Nothing));
    assert_eq!(label("amocrm", &old.shown, &left.list), None);
    assert_eq!(
        label("amocrm", &new.shown, &left.list).as_deref(),
        Some("new")
    );
}

#[test]
fn wrong_arguments_are_rejected_with_the_reason() {
    let one = printed(&["closer", "--label", "one"]).list;
    let table: [(&[&str], i32, &str); 10] = [
        (
            &["salesforce"],
            2,
            "expected one of pipedrive, amocrm, closer",
        ),
        (
            &["closer", "--add", "--drop", "one"],
            2,
            "cannot be used with",
        ),
        (
            &["closer", "--label", "No Good"],
            2,
            "invalid value 'No Good' for '--label <LABEL>': expected 1 to 32 characters of a-z, 0-9 and -",
        ),
        (&["closer", "--label", ""], 2, "for '--label <LABEL>'"),
        (
            &["closer", "--label", "longer-than-the-thirty-two-bytes-"],
            2,
            "for '--label <LABEL>'",
        ),
        (
            &["closer", "--add", "--label", "é", "--digests", &one],
            2,
            "for '--label <LABEL>'",
        ),
        (
            &["closer", "--add", "--label", "one", "--digests", &one],
            1,
            "the label one is already in use",
        ),
        (
            &["closer", "--drop", "two", "--digests", &one],
            1,
            "no accepted credential has the label two (labels: one)",
        ),
        (
            &["closer", "--drop", "one", "--digests", &one],
            1,
            "one is the only credential",
        ),
        (
            &["closer", "--add", "--digests", "user"],
            1,
            "user is not label:digest",
        ),
    ];
    for (arguments, code, sentence) in table {
        let output = run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(sentence), "{error}");
        assert!(
            output.stdout.is_empty(),
            "{arguments:?} prints {:?}",
            output.stdout
        );
    }
}

#[test]
fn programs_get_a_line_of_json_for_each_provider() {
    let made = |arguments: &[&str]| -> Vec<Value> {
        let output = run(&[arguments, &["--output", "json"]].concat());
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let new = made(&["pipedrive", "closer", "--label", "new"]);
    let text = |index: usize, name: &str| new[index][name].as_str().unwrap().to_owned();
    let basic = Credential::Basic(format!("{}:{}", text(0, "user"), text(0, "password")));
    let key = Credential::Key(text(1, "key"));
    for (index, provider, parameter, shown) in [
        (0, "pipedrive", "PipedriveCredentials", basic),
        (1, "closer", "CloserKeys", key),
    ] {
        assert_eq!(text(index, "provider"), provider);
        assert_eq!(text(index, "parameter"), parameter);
        let label = label(provider, &shown, &text(index, "value"));
        assert_eq!(label, Some(text(index, "label")));
        assert_eq!(label.as_deref(), Some("new"));
    }
    let both = made(&[
        "closer",
        "--add",
        "--label",
        "b",
        "--digests",
        &text(1, "value"),
    ]);
    let both = both[0]["value"].as_str().unwrap();
    let left = &made(&["closer", "--drop", "b", "--digests", both])[0];
    assert_eq!(
        (&left["label"], &left["value"]),
        (&json!("b"), &new[1]["value"])
    );
    assert!(
        left.get("key").is_none() && left.get("user").is_none(),
        "{left}"
    );
}

#[test]
fn several_providers_get_one_line_to_deploy() {
    let output = run(&["pipedrive", "amocrm", "closer", "--label", "new"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains("sam deploy"))
        .collect();
    let [line] = lines[..] else { panic!("{text}") };
    let parameters: Vec<_> = line
        .split(' ')
        .filter_map(|word| word.split_once("=new:"))
        .collect();
    let names: Vec<_> = parameters.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["PipedriveCredentials", "AmocrmKeys", "CloserKeys"]);
    assert_eq!(text.matches("?key=").count(), 2, "{text}");
    for arguments in [
        &["closer", "closer"][..],
        &["closer", "amocrm", "--digests", "a:b"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
