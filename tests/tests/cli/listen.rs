//! `hookkeeper listen`: a local server gets every event, whatever happens to it.

use crate::process::{Killed, PATIENCE, lines_of, wait};
use providers::{AMOCRM, CLOSER, PIPEDRIVE};
use serde_json::Value;
use std::{process::Stdio, sync::mpsc::Receiver, time::Duration};
use testkit::{
    dev::send_signal,
    request::event,
    sink::{Sink, Taken},
    site::{Site, encoded, records},
};
use tokio::task::block_in_place;

/// A running `hookkeeper listen`.
struct Listener {
    process: Killed,
    lines: Receiver<String>,
}

impl Listener {
    /// Starts it, and waits until it is ready.
    fn start(site: &Site, url: &str, arguments: &[&str]) -> Self {
        let listen = ["listen", "--forward-to", url];
        let mut command = site.command(&[&listen[..], arguments].concat());
        let mut process = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
        let lines = lines_of(&mut process);
        let listener = Self { process, lines };
        let ready = listener.line();
        assert!(ready.starts_with("Ready: "), "{ready}");
        assert!(!ready.contains("secret"), "{ready}");
        listener
    }

    fn line(&self) -> String {
        block_in_place(|| self.lines.recv_timeout(PATIENCE).unwrap())
    }

    /// The next lines, each as method, status, milliseconds and handle.
    fn sent(&self, count: usize) -> Vec<[String; 4]> {
        let lines = (0..count).map(|_| self.line());
        let words = lines.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        words.map(|words| words.try_into().unwrap()).collect()
    }
}

/// What the server got, as soon as it is this number of requests.
async fn taken(sink: &Sink, count: usize) -> Vec<Taken> {
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < count {
            taken.extend(sink.taken());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_is_sent_once_as_the_provider_sent_it() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &event("pipedrive", 1)), None)
        .await;
    let sink = Sink::start(200, Duration::ZERO).await;
    let url = sink.url("hook?key=secret");
    let mut listener = Listener::start(&site, &url, &["--header", "X-Key: 1: 2"]);
    let form = "leads[add][0][id]=1&leads[add][0][created_at]=1795255200\
        &leads[add][1][id]=2&leads[add][1][created_at]=1795255200&account[id]=1001";
    let deliveries = [
        (AMOCRM, form.to_owned(), 2),
        (PIPEDRIVE, format!(" {}\n", event("pipedrive", 2)), 1),
        (CLOSER, event("closer", 3), 1),
    ];
    for (provider, body, events) in &deliveries {
        let mut records = records(provider, body);
        for record in &mut records {
            let origin = match record {
                models::Record::Event { origin, .. } | models::Record::Body { origin, .. } => {
                    origin
                }
                models::Record::Quarantined { .. } => panic!("{body}"),
            };
            origin.content_type = Some(format!("text/{}", provider.name));
        }
        site.put(&records, None).await;
        let sent = listener.sent(*events);
        for [method, status, milliseconds, _] in &sent {
            assert_eq!((&**method, &**status), ("POST", "200"));
            assert!(milliseconds.parse::<u64>().is_ok());
        }
        let [taken] = &taken(&sink, 1).await[..] else {
            panic!("one delivery is one request");
        };
        assert_eq!(String::from_utf8_lossy(&taken.body), **body);
        assert_eq!(
            taken.headers["content-type"],
            format!("text/{}", provider.name)
        );
        assert_eq!(taken.headers["hookkeeper-handle"], sent[0][3]);
        assert_eq!(taken.headers["x-key"], "1: 2");
        let shown = site.run(&["events", "show", &sent[0][3], "--output", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert!(shown["source"].as_str().unwrap().starts_with(provider.name));
    }
    send_signal(&listener.process.0, "-INT");
    assert_eq!(wait(&mut listener.process).code(), Some(0));
    assert_eq!(sink.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_down_gets_every_event_once() {
    let site = Site::start().await;
    let sink = Sink::start(200, Duration::ZERO).await;
    let (port, url) = (sink.port(), sink.url("hook"));
    let listener = Listener::start(&site, &url, &["--as", "cloudevent"]);
    drop(sink);
    for number in 0..100 {
        let records = records(&PIPEDRIVE, &event("pipedrive", number));
        site.put(&records, None).await;
    }
    let sink = Sink::on_port(port, &[200], Duration::ZERO).await;
    assert_eq!(listener.sent(100).len(), 100);
    let taken = taken(&sink, 100).await;
    let mut subjects: Vec<String> = taken
        .iter()
        .map(|taken| {
            assert_eq!(
                taken.headers["content-type"],
                "application/cloudevents+json"
            );
            let event: Value = serde_json::from_slice(&taken.body).unwrap();
            assert_eq!(event["specversion"], "1.0");
            event["subject"].as_str().unwrap().to_owned()
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!((subjects.len(), taken.len()), (100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_server_gets_the_event_again_and_a_refusal_is_shown() {
    let site = Site::start().await;
    let sink = Sink::answering(&[503, 500, 200, 404, 200]).await;
    let listener = Listener::start(&site, &sink.url("hook"), &[]);
    for number in 0..3 {
        let records = records(&CLOSER, &event("closer", number));
        site.put(&records, None).await;
    }
    let statuses: Vec<_> = listener
        .sent(3)
        .into_iter()
        .map(|sent| sent[1].clone())
        .collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    assert_eq!(taken(&sink, 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_events_are_sent_on_request_and_others_are_left_out() {
    let site = Site::start().await;
    site.put(&records(&PIPEDRIVE, &event("pipedrive", 1)), None)
        .await;
    site.put(&records(&CLOSER, &event("closer", 2)), None).await;
    let sink = Sink::start(200, Duration::ZERO).await;
    let url = sink.url("hook");
    let since = ["--since", "1h", "--provider", "closer"];
    let listener = Listener::start(&site, &url, &since);
    assert_eq!(listener.sent(1).len(), 1);
    let [taken] = &taken(&sink, 1).await[..] else {
        panic!("one event is selected");
    };
    assert_eq!(String::from_utf8_lossy(&taken.body), event("closer", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_does_not_hold_up_the_next() {
    let site = Site::start().await;
    let form = "leads[add][0][id]=1&leads[add][0][created_at]=1795255200\
        &leads[add][1][id]=2&leads[add][1][created_at]=1795255200&account[id]=1001";
    for mut item in records(&AMOCRM, form).iter().flat_map(encoded) {
        if item["kind"].as_s().unwrap() == "body" {
            let version = aws_sdk_dynamodb::types::AttributeValue::N("2".to_owned());
            item.insert("v".to_owned(), version);
        }
        storage::schema::stamp(&mut item, site.table.now());
        site.put_item(item).await;
    }
    let sink = Sink::start(200, Duration::ZERO).await;
    let listener = Listener::start(&site, &sink.url("hook"), &["--since", "1h"]);
    site.put(&records(&CLOSER, &event("closer", 3)), None).await;
    assert_eq!(listener.sent(1)[0][1], "200");
    assert_eq!(taken(&sink, 1).await.len(), 1);
}
