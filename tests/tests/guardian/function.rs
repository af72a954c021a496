//! The function as Lambda runs it, with its secrets in Systems Manager.

use guardian::{Secret, parameter};
use serde_json::{Value, json};
use testkit::{
    api::{AmocrmApi, ApiServer, PipedriveApi},
    live_stack::LiveStack,
    runtime_api::{Answer, Environment, Function, binary},
};

const PATH: &str = "/hookkeeper/hookkeeper/";

fn secret(api_url: String) -> Secret {
    Secret {
        api_token: "t0ken".to_owned(),
        api_url: Some(api_url),
        webhook_url: "https://hooks.example.com/hook?key=k3y".to_owned(),
        user: Some("hookkeeper".to_owned()),
        password: Some("p4ssword".to_owned()),
    }
}

fn environment(stack: &LiveStack) -> Environment {
    Environment::of("guardian", &stack.site.endpoint())
        .with("HOOKKEEPER_SECRETS", PATH)
        .with("HOOKKEEPER_STACK", "hookkeeper")
        .with(
            "HOOKKEEPER_FALLBACK_QUEUE_URL",
            format!("{}/fallback", stack.endpoint),
        )
        .with(
            "HOOKKEEPER_DEAD_LETTER_QUEUE_URL",
            format!("{}/dead-letters", stack.endpoint),
        )
        .with("AWS_ENDPOINT_URL_SQS", &stack.endpoint)
        .with("AWS_ENDPOINT_URL_SSM", &stack.endpoint)
}

fn store(stack: &LiveStack, provider: &str, account: &str, value: &str) {
    let name = parameter(PATH, provider, account);
    let value = value.to_owned();
    stack.state().secrets.insert(name, value);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_of_the_stack_is_watched_and_logged_without_secrets() {
    let stack = LiveStack::start(&[]).await;
    let pipedrive = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let amocrm = ApiServer::start(AmocrmApi::new("other token")).await;
    for (provider, account, url) in [
        ("pipedrive", "5155039", pipedrive.url()),
        ("amocrm", "30307558", amocrm.url()),
    ] {
        let secret = serde_json::to_string(&secret(url)).unwrap();
        store(&stack, provider, account, &secret);
    }
    let mut function = Function::spawn(binary("guardian"), &environment(&stack)).await;
    let answer = function.invoke("{}").await;
    assert!(
        matches!(answer, Answer::Response(Value::Null)),
        "{answer:?}"
    );
    assert_eq!(pipedrive.api().webhooks.len(), 1);
    let lines = function.log();
    let of = |provider: &str| -> &Value {
        let mut lines = lines.iter();
        lines.find(|line| line["provider"] == provider).unwrap()
    };
    let created = json!([{ "finding": "missing", "action": "created", "webhook": 1 }]);
    let line = of("pipedrive");
    assert_eq!(line["findings"], created);
    assert_eq!(
        (&line["api_calls"], &line["api_tokens"]),
        (&json!(4), &json!(40))
    );
    assert_eq!(
        (&line["webhook_dead"], &line["webhook_created"]),
        (&json!(1), &json!(1))
    );
    let line = of("amocrm");
    assert_eq!(line["findings"][0]["finding"], "unauthorized");
    assert_eq!(
        (&line["token_refused"], &line["stack"]),
        (&json!(1), &json!("hookkeeper"))
    );
    let all = format!("{}{}", function.stdout(), function.stderr());
    for secret in ["t0ken", "p4ssword", "k3y", "hooks.example.com"] {
        assert!(!all.contains(secret), "{all}");
    }
    let states = stack.site.table.guardians().await.unwrap();
    let findings = states
        .iter()
        .map(|state| (&*state.account, &*state.finding));
    let expected = [
        ("amocrm/30307558", "unauthorized"),
        ("pipedrive/5155039", "ok"),
    ];
    assert!(findings.eq(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_used_fails_the_invocation_and_not_the_other_accounts() {
    let stack = LiveStack::start(&[]).await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    store(&stack, "pipedrive", "1", r#"{"api_token":"t0ken"}"#);
    store(&stack, "closer", "2", "{}");
    let mut without_password = secret(server.url());
    without_password.password = None;
    let without_password = serde_json::to_string(&without_password).unwrap();
    store(&stack, "pipedrive", "3", &without_password);
    let mut usable = secret("http://127.0.0.1:1".to_owned());
    usable.api_url = None;
    store(
        &stack,
        "pipedrive",
        "5155039",
        &serde_json::to_string(&usable).unwrap(),
    );
    let environment = environment(&stack).with("PIPEDRIVE_API_URL", server.url());
    let mut function = Function::spawn(binary("guardian"), &environment).await;
    let answer = function.invoke("{}").await;
    let Answer::Error(error) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        error
            .to_string()
            .contains("3 of 4 accounts were not watched"),
        "{error}"
    );
    assert_eq!(server.api().webhooks.len(), 1);
    assert!(!function.stdout().contains("t0ken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_settings_it_does_not_start() {
    let stack = LiveStack::start(&[]).await;
    let environment = environment(&stack).without("HOOKKEEPER_SECRETS");
    let mut function = Function::spawn(binary("guardian"), &environment).await;
    assert!(!function.ended().await.success());
    let said = "guardian cannot start: the environment variable HOOKKEEPER_SECRETS is not set";
    assert!(function.stderr().contains(said), "{}", function.stderr());
}
