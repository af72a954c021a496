//! HTTP requests that `hookkeeper send` makes.

use super::{over_the_wire, provider_of, read, send, sendable, sent, sink, text};
use models::Timestamp;
use providers::pipedrive::samples::Happening;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use testkit::{
    dev::hookkeeper,
    request::basic,
    sink::{Sink, Taken},
};

/// The body of one delivery in JSON.
fn json_of(sink: &Sink, arguments: &[&str]) -> Value {
    let taken = over_the_wire(sink, arguments);
    assert_eq!(taken.len(), 1);
    serde_json::from_slice(&taken[0].body).unwrap()
}

/// The fields of one form.
fn form_of(sink: &Sink, arguments: &[&str]) -> BTreeMap<String, String> {
    let taken = over_the_wire(sink, arguments);
    assert_eq!(taken.len(), 1);
    form_urlencoded::parse(&taken[0].body)
        .into_owned()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_the_sample_with_new_ids_and_times() {
    let sink = sink().await;
    for provider in providers::ALL {
        for (name, verdict, sample) in sendable(&provider) {
            let taken = over_the_wire(&sink, &[provider.name, &name, "--count", "2"]);
            let [first, second] = <[Taken; 2]>::try_from(taken).unwrap();
            let event: Value = serde_json::from_slice(&sample.json).unwrap();
            for taken in [&first, &second] {
                check_headers(provider.name, &event["headers"], taken);
            }
            if verdict.starts_with("quarantined") {
                assert_eq!(first.body, sample.body(), "{name}");
                continue;
            }
            assert_ne!(first.body, second.body, "{name} is the same event twice");
            assert_eq!(
                first.body.len(),
                second.body.len(),
                "{name}: ids and times keep their shape"
            );
            check_events(&name, provider.name, [&sample.body(), &first.body]);
        }
    }
}

/// Whether HTTP needs a header.
fn is_of_http(name: &str) -> bool {
    ["host", "content-length"].contains(&name)
}

/// Whether API Gateway adds a header, or the credentials do.
fn is_added(name: &str) -> bool {
    name == "authorization" || name.starts_with("x-forwarded") || name.starts_with("x-amzn")
}

/// The action of an event type, from the word of Pipedrive.
fn word(action: &str) -> String {
    let word = match action {
        "added" | "create" => "created",
        "change" => "updated",
        "delete" => "deleted",
        own => own,
    };
    word.to_owned()
}

/// Checks that a request has only the headers of the provider and those that HTTP needs.
fn check_headers(provider: &str, sample: &Value, taken: &Taken) {
    let mut expected: BTreeMap<String, String> = serde_json::from_value(sample.clone()).unwrap();
    expected.retain(|name, _| !is_of_http(name) && !is_added(name));
    let mut headers = taken.headers.clone();
    headers.retain(|name, _| !is_of_http(name));
    if let Some(id) = provider_of(provider).request_id_header {
        let old = expected.remove(id);
        let new = headers.remove(id);
        assert!(
            old.is_some() == new.is_some() && (old.is_none() || old != new),
            "{old:?} {new:?}"
        );
    }
    assert_eq!(headers, expected);
}

/// Checks that the sent events equal those of the sample, with the current time.
fn check_events(name: &str, provider: &str, bodies: [&[u8]; 2]) {
    let now =
        Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()).as_micros();
    let [old, new] = bodies.map(|body| read(provider, body));
    assert_eq!(old.len(), new.len(), "{name}");
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(
            (&old.r#type, &old.source, &old.channel),
            (&new.r#type, &new.source, &new.channel),
            "{name}"
        );
        assert_eq!(old.timeproblem, new.timeproblem, "{name}");
        let age = now - new.time.as_micros();
        assert!(
            new.timeproblem.is_some() || (0..60_000_000).contains(&age),
            "{name} is at {}",
            new.time
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipedrive_events_can_have_any_object_and_action() {
    let sink = sink().await;
    for happening in Happening::all() {
        let name = happening.name();
        let parts: Vec<_> = name.splitn(3, '_').collect();
        let [version, action, object] = parts[..] else {
            panic!("{name}")
        };
        let body = json_of(&sink, &["pipedrive", &name]);
        let events = read("pipedrive", body.to_string().as_bytes());
        let [event] = &events[..] else {
            panic!("{name}")
        };
        assert_eq!(
            event.r#type,
            format!("com.pipedrive.{object}.{}", word(action))
        );
        assert_eq!(
            event.apiversion.as_deref(),
            Some(if version == "v1" { "1" } else { "2.0" }),
            "{name}"
        );
        assert_eq!(
            (event.timeproblem, &*event.source),
            (None, "pipedrive/7654321"),
            "{name}"
        );
        let whole = check_parts(version, action, object, &body);
        assert_eq!(
            event.subject,
            format!("{object}/{}", whole["id"].to_string().trim_matches('"')),
            "{name}: {body}"
        );
        assert_eq!(
            body["event"].as_str(),
            (version == "v1")
                .then(|| format!("{action}.{object}"))
                .as_deref()
        );
    }
}

/// Checks that the object is in the members of its action, and in a list for a user in version 1.
fn check_parts<'a>(version: &str, action: &str, object: &str, body: &'a Value) -> &'a Value {
    let (now, before) = (
        &body[if version == "v1" { "current" } else { "data" }],
        &body["previous"],
    );
    assert_eq!(now.is_null(), action.starts_with("delete"), "{body}");
    assert_eq!(
        before.is_null(),
        ["added", "create"].contains(&action),
        "{body}"
    );
    let whole = if now.is_null() { before } else { now };
    let whole = if (version, object) == ("v1", "user") {
        &whole[0]
    } else {
        whole
    };
    if ["updated", "change", "merged"].contains(&action) {
        let changed = before.get(0).unwrap_or(before).as_object().unwrap();
        assert!(
            changed.iter().any(|(field, old)| *old != whole[field]),
            "it changes nothing: {body}"
        );
        let has_all = changed.len() == whole.as_object().unwrap().len();
        assert_eq!(
            has_all,
            version == "v1",
            "version 2 has the changed fields alone: {body}"
        );
    }
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_selects_the_simplest_sample_of_that_type() {
    let sink = sink().await;
    for (provider, what) in [
        ("pipedrive", "deal.updated"),
        ("pipedrive", "person.deleted"),
        ("pipedrive", "note.created"),
        ("amocrm", "lead.status_changed"),
        ("amocrm", "company.note_added"),
        ("closer", "conversation.closed"),
    ] {
        let taken = over_the_wire(&sink, &[provider, what]).remove(0);
        let event = read(provider, &taken.body).remove(0);
        assert!(
            event.r#type.ends_with(&format!(".{what}")),
            "{what} is {}",
            event.r#type
        );
        assert!(
            event.apiversion.is_none_or(|version| version == "2.0") && event.timeproblem.is_none(),
            "{what}"
        );
    }
}

/// With each of these set.
fn with<'a>(what: [&'a str; 2], settings: &[&'a str]) -> Vec<&'a str> {
    what.into_iter()
        .chain(settings.iter().flat_map(|setting| ["--set", *setting]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_set_in_place_and_keeps_its_type() {
    let sink = sink().await;
    let of = |name, settings: &[&str]| json_of(&sink, &with(["pipedrive", name], settings));
    let deal = of(
        "v2_change_deal",
        &[
            "deal.stage_id=9",
            "deal.title=9",
            "meta.user_id=5",
            "meta.is_bulk_edit=true",
        ],
    );
    assert_eq!(
        (&deal["data"]["stage_id"], &deal["previous"]["stage_id"]),
        (&json!(9), &json!(4))
    );
    let title = "Two sloops for the sailing school";
    assert_eq!(
        (&deal["data"]["title"], &deal["previous"]["title"]),
        (&json!("9"), &json!(title))
    );
    assert_eq!(
        (&deal["meta"]["user_id"], &deal["meta"]["is_bulk_edit"]),
        (&json!("5"), &json!(true))
    );
    let deleted = of("v1_deleted_deal", &["deal.status=lost"]);
    assert_eq!(
        (&deleted["previous"]["status"], &deleted["current"]),
        (&json!("lost"), &Value::Null)
    );
    let user = of("v1_updated_user", &["user.name=Ada"]);
    assert_eq!(user["current"][0]["name"], "Ada");
    let earlier = of("v2_change_deal", &["meta.timestamp=2020-01-01T00:00:00Z"]);
    assert_eq!(earlier["meta"]["timestamp"], "2020-01-01T00:00:00Z");

    let of = |name, settings: &[&str]| form_of(&sink, &with(["amocrm", name], settings));
    assert_eq!(
        of("leads_status", &["lead.status_id=142"])["leads[status][0][status_id]"],
        "142"
    );
    assert_eq!(
        of("leads_note", &["note.text=a b&c"])["leads[note][0][note][text]"],
        "a b&c"
    );
    assert_eq!(
        of("company.updated", &["company.name=Boats"])["contacts[update][0][name]"],
        "Boats"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_set_in_every_place_where_it_occurs() {
    let sink = sink().await;
    let of = |name, setting| json_of(&sink, &with(["pipedrive", name], &[setting]));
    let deal = of("v2_change_deal", "deal.id=4711");
    assert_eq!(
        (&deal["data"]["id"], &deal["meta"]["entity_id"]),
        (&json!(4711), &json!("4711"))
    );
    let deleted = of("v1_deleted_deal", "deal.id=4711");
    assert_eq!(
        (&deleted["previous"]["id"], &deleted["meta"]["id"]),
        (&json!(4711), &json!(4711))
    );
    let user = of("v1_updated_user", "user.id=7");
    let [current, previous] = ["current", "previous"].map(|part| &user[part][0]["id"]);
    assert_eq!(
        [current, previous, &user["meta"]["id"]],
        [&json!(7), &json!(7), &json!("7")]
    );
    let id = "11111111-2222-4333-8444-555555555555";
    let closed = json_of(
        &sink,
        &with(["closer", "closed"], &[&format!("customer.id={id}")]),
    );
    let [customer, agent] = [0, 1].map(|author| &closed["messageHistory"][author]["author"]["id"]);
    assert_eq!(
        (customer, &closed["customer"]["id"], agent),
        (&json!(id), &json!(id), &closed["assignee"]["id"])
    );

    for (name, setting, subject) in [
        ("leads_status", "lead.id=42", "lead/42"),
        ("leads_note", "lead.id=42", "lead/42"),
        ("company_note", "company.id=42", "company/42"),
        ("message_add", "chat.id=42", "chat/42"),
        ("talk_add", "talk.id=42", "talk/42"),
        ("unsorted_add_form", "unsorted.id=42", "unsorted/42"),
        (
            "contacts_delete_without_a_number",
            "contact.id=42",
            "contact/42",
        ),
        ("json", "lead.id=42", "lead/42"),
    ] {
        let taken = over_the_wire(&sink, &with(["amocrm", name], &[setting])).remove(0);
        assert_eq!(
            read("amocrm", &taken.body).remove(0).subject,
            subject,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_the_providers_next_attempt() {
    let sink = sink().await;
    let both = |provider: &str, name: &str| {
        let taken = over_the_wire(&sink, &[provider, name, "--duplicate"]);
        <[Taken; 2]>::try_from(taken).unwrap()
    };
    for (name, pointer, counts) in [
        ("v2_change_deal", "/meta/attempt", [1, 2]),
        ("v1_added_deal", "/retry", [0, 1]),
    ] {
        let [mut first, second]: [Value; 2] =
            both("pipedrive", name).map(|taken| serde_json::from_slice(&taken.body).unwrap());
        assert_eq!(
            [&first, &second].map(|body| body.pointer(pointer).unwrap().as_u64().unwrap()),
            counts
        );
        *first.pointer_mut(pointer).unwrap() = counts[1].into();
        assert_eq!(first, second);
    }
    for (provider, name) in [("amocrm", "dp_status"), ("closer", "created")] {
        let [first, second] = both(provider, name);
        assert_eq!(
            (first.body, first.headers),
            (second.body, second.headers),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_byte_for_byte() {
    let sink = sink().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let bytes = b"\xff{ \"no\" json\0\r\n";
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    for (arguments, content_type) in [
        (vec!["pipedrive"], "application/json"),
        (vec!["amocrm"], "application/x-www-form-urlencoded"),
        (vec!["closer", "--content-type", "text/plain"], "text/plain"),
    ] {
        let taken = over_the_wire(
            &sink,
            &[&arguments[..], &["--file", path, "--duplicate"]].concat(),
        );
        assert_eq!(taken.len(), 2);
        for taken in taken {
            assert_eq!(
                (&*taken.body, &*taken.headers["content-type"]),
                (&bytes[..], content_type)
            );
        }
    }
    let url = sink.url("pipedrive");
    let mut command = hookkeeper(&["send", "pipedrive", "--file", "-", "--url", &url]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(b"piped").unwrap();
    assert!(process.wait().unwrap().success());
    assert_eq!(sink.taken().remove(0).body, b"piped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_sets_the_start_of_each_delivery_however_slow_the_responses() {
    let slow = Sink::start(200, Duration::from_secs(2)).await;
    let output = send(&[
        "closer",
        "created",
        "--count",
        "20",
        "--rate",
        "100",
        "--url",
        &slow.url("closer"),
    ]);
    assert_eq!(
        (slow.taken().len(), slow.most()),
        (20, 20),
        "all are under way before the first answer"
    );
    assert!(
        text(&output.stdout).starts_with("20 deliveries in "),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(text(&output.stderr), "", "a bar is for terminals");
    let many = Sink::start(200, Duration::from_millis(300)).await;
    sent(&[
        "pipedrive",
        "v1_seconds_alone",
        "--count",
        "40",
        "--url",
        &many.url("pipedrive"),
    ]);
    let bodies: BTreeSet<_> = many.taken().into_iter().map(|taken| taken.body).collect();
    assert_eq!(
        (bodies.len(), many.most()),
        (40, 16),
        "each is another event, sixteen at a time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_of_a_deployed_receiver_is_not_sent_to_the_local_one() {
    let sink = sink().await;
    let local = format!("--local={}", sink.port());
    let deployed = ("HOOKKEEPER_USER", "deployed:secret");
    let own = ("HOOKKEEPER_DEV_USER", "ada:own");
    for (option, variables, expected) in [
        (None, &[deployed][..], "local:local"),
        (None, &[deployed, own], "ada:own"),
        (Some("--user=given:user"), &[deployed, own], "given:user"),
    ] {
        let mut command = hookkeeper(&["send", "pipedrive", "deal.updated", &local]);
        command.args(option).env_remove(own.0);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let taken = sink.taken().remove(0);
        assert_eq!(taken.headers["authorization"], basic(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_sent_as_the_provider_sends_them() {
    let sink = sink().await;
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let url = sink.url(&format!("{}?a=b", arguments[0]));
        let mut command = hookkeeper(&["send", arguments[0], arguments[1], "--url", &url]);
        command
            .args(&arguments[2..])
            .env_remove("HOOKKEEPER_USER")
            .env_remove("HOOKKEEPER_KEY");
        assert!(
            command
                .envs(variables.iter().copied())
                .output()
                .unwrap()
                .status
                .success()
        );
        let taken = sink.taken().remove(0);
        (taken.uri, taken.headers.get("authorization").cloned())
    };
    let (deal, lead) = (["pipedrive", "deal.updated"], ["amocrm", "lead.updated"]);
    let both = [("HOOKKEEPER_USER", "a:b"), ("HOOKKEEPER_KEY", "k&y")];
    let (plain, keyed) = ("?a=b", "?a=b&key=k%26y");
    let a_b = Some(basic("a:b"));
    for (arguments, variables, query, authorization) in [
        (deal.to_vec(), &both[..0], plain, None),
        (
            [&deal[..], &["--user", "a:b"]].concat(),
            &both[..0],
            plain,
            a_b.clone(),
        ),
        (deal.to_vec(), &both[..], plain, a_b.clone()),
        (
            [&lead[..], &["--key", "k&y"]].concat(),
            &both[..0],
            keyed,
            None,
        ),
        (lead.to_vec(), &both[..], keyed, None),
        (lead.to_vec(), &both[..1], plain, a_b.clone()),
        (
            [&lead[..], &["--user", "a:b"]].concat(),
            &both[..],
            plain,
            a_b.clone(),
        ),
    ] {
        let expected = (format!("/{}{query}", arguments[0]), authorization);
        assert_eq!(
            run(&arguments, variables),
            expected,
            "{arguments:?} {variables:?}"
        );
    }
}
