//! `hookkeeper register`.

use super::{AMOCRM_ACCOUNT, PIPEDRIVE_ACCOUNT, Scene, TOKEN, actions, output};
use serde_json::json;
use std::fs;
use testkit::api::amocrm::{AmocrmLook, NewAmocrmWebhook};
use testkit::api::pipedrive::NewWebhook;

const NEVER: std::time::Duration = std::time::Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_pipedrive_delivers_after_its_registration() {
    let scene = Scene::pipedrive().await;
    let lines = scene.run("register", &[]);
    assert_eq!(actions(&lines), ["missing created", "ok none"]);
    assert_eq!(scene.deliver(1).await, [Some(200)]);
    let webhook = scene.server.api().webhooks[0].wanted.clone();
    let url = format!("{}/pipedrive", scene.stack.endpoint);
    assert_eq!(
        [
            &*webhook.subscription_url,
            &webhook.event_action,
            &webhook.event_object,
            &webhook.version
        ],
        [&*url, "*", "*", "2.0"]
    );
    let secret = scene.secret(PIPEDRIVE_ACCOUNT).unwrap();
    let expected = json!({
        "api_token": TOKEN, "api_url": scene.server.url(), "webhook_url": url,
        "user": webhook.http_auth_user, "password": webhook.http_auth_password,
    });
    assert_eq!(secret, expected);
    assert_eq!(
        scene.labels().len(),
        2,
        "the credential before stays accepted"
    );
    let state = scene
        .stack
        .site
        .table
        .guardian(PIPEDRIVE_ACCOUNT)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((state.rotating, &*state.finding), (None, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_amocrm_delivers_after_its_registration() {
    let scene = Scene::amocrm().await;
    let lines = scene.run("register", &[]);
    assert_eq!(actions(&lines), ["missing created", "ok none"]);
    assert_eq!(scene.deliver(1).await, [Some(200)]);
    let webhook = scene.server.api().webhooks[0].wanted.clone();
    assert_eq!(webhook.settings.len(), 37);
    let secret = scene.secret(AMOCRM_ACCOUNT).unwrap();
    assert_eq!(secret["webhook_url"], webhook.destination);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_registration_changes_nothing() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let labels = scene.labels();
    let first = scene.server.calls();
    assert!(first.contains(&"POST /v1/webhooks".to_owned()), "{first:?}");
    assert_eq!(actions(&scene.run("register", &[])), ["ok none"]);
    let calls = scene.server.calls();
    assert!(
        calls.iter().all(|call| call.starts_with("GET")),
        "{calls:?}"
    );
    assert_eq!((scene.labels(), scene.stack.state().updates), (labels, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_credentials_gets_a_receiver() {
    let scene = Scene::pipedrive().await;
    let none = "PipedriveCredentials".to_owned();
    scene.stack.state().parameters.insert(none, String::new());
    scene.run("register", &[]);
    assert_eq!(
        (scene.deliver(1).await, scene.labels().len()),
        (vec![Some(200)], 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_registered_before_the_receiver_accepts_the_credential() {
    let scene = Scene::pipedrive().await;
    scene.stack.state().rolls_back = true;
    assert!(scene.fail("register", &[]).contains("was rolled back"));
    assert!(scene.server.api().webhooks.is_empty());
    // The second attempt uses the credential that is stored.
    let secret = scene.secret(PIPEDRIVE_ACCOUNT);
    scene.run("register", &[]);
    assert_eq!(scene.secret(PIPEDRIVE_ACCOUNT), secret);
    assert_eq!(scene.deliver(1).await, [Some(200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_an_account_refuses_are_left_out_and_named() {
    for look in [AmocrmLook::Amocrm, AmocrmLook::Kommo] {
        let scene = Scene::amocrm().await;
        scene.server.api().look = look;
        let unknown = ["add_message", "delete_talk"].map(str::to_owned);
        scene.server.api().unknown_settings.extend(unknown);
        let lines = scene.run("register", &[]);
        let reasons: Vec<_> = lines
            .iter()
            .filter_map(|line| line["reason"].as_str())
            .collect();
        assert_eq!(
            reasons,
            [
                "the account refuses the events add_message",
                "the account refuses the events delete_talk",
            ]
        );
        assert_eq!(scene.server.api().webhooks[0].wanted.settings.len(), 35);
        assert_eq!(actions(&scene.run("register", &[])), ["ok none"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_that_is_not_found_yet_is_tried_again() {
    let scene = Scene::amocrm().await;
    scene
        .server
        .api()
        .unknown_hosts
        .insert("127.0.0.1".to_owned(), 1);
    let lines = scene.run("register", &[]);
    assert_eq!(actions(&lines), ["missing created", "ok none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_user_without_rights_is_refused() {
    let scene = Scene::pipedrive().await;
    scene.server.api().is_admin = false;
    assert!(
        scene
            .fail("register", &[])
            .contains("is not an administrator")
    );
    let scene = Scene::amocrm().await;
    scene.server.api().is_admin = false;
    assert!(
        scene
            .fail("register", &[])
            .contains("use the token of an administrator")
    );
    assert_eq!(
        (scene.labels().len(), scene.stack.state().secrets.len()),
        (1, 0)
    );
    scene.server.api().token = "another".to_owned();
    assert!(scene.fail("register", &[]).contains("set AMOCRM_API_TOKEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_others_are_not_touched() {
    let scene = Scene::pipedrive().await;
    let near = format!("{}/pipedrive/", scene.stack.endpoint);
    for url in [&*near, "https://other.example/pipedrive"] {
        scene.server.api().add(NewWebhook::all(url), NEVER);
    }
    scene.run("register", &[]);
    scene.run("unregister", &[]);
    let left: Vec<_> = scene
        .server
        .api()
        .webhooks
        .iter()
        .map(|webhook| webhook.id)
        .collect();
    assert_eq!(left, [1, 2]);
    let scene = Scene::amocrm().await;
    let other = NewAmocrmWebhook::new("https://other.example", &["add_lead"]);
    let id = scene.server.api().add(other, NEVER);
    scene.run("register", &[]);
    scene.run("unregister", &[]);
    let left: Vec<_> = scene
        .server
        .api()
        .webhooks
        .iter()
        .map(|webhook| webhook.id)
        .collect();
    assert_eq!(left, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let scene = Scene::pipedrive().await;
    let lines = scene.run("register", &["--dry-run"]);
    assert_eq!(actions(&lines), ["missing none"]);
    let state = scene.stack.state();
    assert_eq!((state.updates, state.secrets.len()), (0, 0));
    assert!(scene.server.api().webhooks.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_in_samconfig_is_updated() {
    let scene = Scene::pipedrive().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samconfig.toml");
    fs::write(
        &path,
        "parameter_overrides = \"PipedriveCredentials=a:1 X=y\"\n",
    )
    .unwrap();
    let mut command = scene.command("register", &[]);
    command.current_dir(&folder);
    assert!(output(command).status.success());
    let deployed = scene.stack.state().parameters["PipedriveCredentials"].clone();
    let expected = format!("parameter_overrides = \"PipedriveCredentials={deployed} X=y\"\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stack_the_credential_is_the_users() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let secret = scene.secret(PIPEDRIVE_ACCOUNT).unwrap();
    let [user, password] = ["user", "password"].map(|name| secret[name].as_str().unwrap());
    let credential = format!("{user}:{password}");
    scene.server.api().webhooks.clear();
    let site = testkit::site::Site::start().await;
    let url = format!("{}/pipedrive", scene.stack.endpoint);
    let command = |name| {
        let command = site.command(&[name, "pipedrive", "--url", &url]);
        let mut command = scene.with_api(command, &[]);
        command.env("HOOKKEEPER_USER", &credential);
        output(command)
    };
    assert!(command("register").status.success());
    assert_eq!(scene.deliver(1).await, [Some(200)]);
    assert!(command("unregister").status.success());
    assert!(scene.server.api().webhooks.is_empty());
    assert!(command("register").status.success());
    let unregister = site.command(&["unregister", "pipedrive", "--url", &url]);
    let unregistered = output(scene.with_api(unregister, &[]));
    let stderr = String::from_utf8_lossy(&unregistered.stderr);
    assert!(
        unregistered.status.success(),
        "the URL alone is enough: {stderr}"
    );
    assert!(scene.server.api().webhooks.is_empty());
    assert_eq!(site.table.guardians().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_an_api_is_a_usage_error() {
    let scene = Scene::pipedrive().await;
    let mut command = scene.stack.command(&["register", "closer"]);
    let output = super::block_in_place(|| command.output().unwrap());
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("closer has no API for webhooks"),
        "{stderr}"
    );
}
