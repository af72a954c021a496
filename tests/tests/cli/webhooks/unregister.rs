//! `hookkeeper unregister`.

use super::{AMOCRM_ACCOUNT, PIPEDRIVE_ACCOUNT, Scene, actions};

#[tokio::test(flavor = "multi_thread")]
async fn it_undoes_a_registration() {
    let scene = Scene::amocrm().await;
    scene.run("register", &[]);
    assert_eq!(scene.run("unregister", &["--dry-run"]).len(), 1);
    assert_eq!(scene.server.api().webhooks.len(), 1);
    assert_eq!(
        actions(&scene.run("unregister", &[])),
        ["ok deleted", "ok none"]
    );
    assert!(scene.server.api().webhooks.is_empty());
    assert_eq!(scene.labels(), ["before"]);
    assert_eq!(scene.secret(AMOCRM_ACCOUNT), None);
    assert_eq!(scene.stack.site.table.guardians().await.unwrap(), []);
    assert_eq!(
        actions(&scene.run("unregister", &[])),
        ["ok none"],
        "twice is harmless"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_deletion_can_be_repeated() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    scene.server.api().webhooks[0].is_foreign = true;
    assert!(
        scene
            .fail("unregister", &[])
            .contains("use the token of an administrator")
    );
    assert!(scene.secret(PIPEDRIVE_ACCOUNT).is_some());
    assert_eq!(scene.labels().len(), 2);
    scene.server.api().webhooks[0].is_foreign = false;
    scene.run("unregister", &[]);
    assert_eq!(scene.labels(), ["before"]);
}
