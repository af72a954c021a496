//! Erasing while messages wait, and `hookkeeper queue`.

use super::{ADA, keys, person};
use crate::stack::Stack;
use providers::PIPEDRIVE;
use snapbox::{assert_data_eq, str};
use testkit::site::{Site, records};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_while_a_queue_holds_messages() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &person(1, "ada@example.com")), None)
        .await;
    for queue in ["fallback", "dead"] {
        let stack = Stack::start().await;
        stack.push(queue, "a message");
        let output = stack.output(&site, &ADA);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("1 messages wait in the"), "{stderr}");
        assert_eq!(keys(&site).await.len(), 1);
    }
    let output = Stack::start().await.output(&site, &ADA);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(keys(&site).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_moves_dead_letters_into_the_fallback_queue() {
    let site = Site::start().await;
    let stack = Stack::start().await;
    let messages: Vec<String> = (0..23).map(|number| format!("message {number}")).collect();
    for message in &messages {
        stack.push("dead", message);
    }
    let run = |arguments: &[&str]| {
        let output = stack.output(&site, arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_data_eq!(
        run(&["queue", "status"]),
        str![[r#"
QUEUE              VISIBLE  IN FLIGHT  DELAYED
fallback queue     0        0          0
dead-letter queue  23       0          0

"#]]
    );
    assert_eq!(
        run(&["queue", "redrive"]),
        "23 messages moved into the fallback queue.\n"
    );
    let mut moved = stack.messages("fallback");
    moved.sort_by_key(|message| messages.iter().position(|sent| sent == message));
    assert_eq!((moved, stack.messages("dead")), (messages, vec![]));
    let status = run(&["queue", "status", "--output", "json"]);
    let line = r#"{"queue":"fallback queue","visible":23,"in_flight":0,"delayed":0}"#;
    assert!(status.starts_with(line), "{status}");

    stack.push("old", "another");
    let url = format!("{}/1/old", stack.endpoint);
    let moved = run(&["queue", "redrive", "--from", &url, "--output", "json"]);
    assert_eq!(moved, "{\"moved\":1,\"in_flight\":0}\n");
    assert_eq!(stack.messages("fallback").len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_fallback_queue_does_not_take_is_not_deleted() {
    let site = Site::start().await;
    let stack = Stack::start().await;
    stack.push("dead", "refused");
    let output = stack.output(&site, &["queue", "redrive"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("the fallback queue did not take a message"),
        "{stderr}"
    );
    assert_eq!(stack.messages("dead"), ["refused"]);
    let (code, error) = site.fail(&["queue", "status"]);
    assert!(
        code == 2 && error.contains("unexpected argument '--local"),
        "{error}"
    );
}
