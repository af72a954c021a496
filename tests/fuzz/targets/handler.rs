//! Fuzzes the handler, from the payload of Lambda to the items in the table.

#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use fuzz::{corpus, memory::Memory, stretch};
use ingest::{Authenticator, Payload, Receiver, Verdict};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::json;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

/// `local:local`, as in the samples.
const AUTHORIZATION: &str = "Basic bG9jYWw6bG9jYWw=";

struct Handler {
    table: Memory,
    receivers: Vec<Receiver>,
    runtime: Runtime,
}

static HANDLER: LazyLock<Handler> = LazyLock::new(|| {
    let table = Memory::default();
    let authenticator = Authenticator::for_user("fuzz", "local", "local");
    let receivers = providers::ALL
        .map(|provider| Receiver::new(provider, authenticator.clone(), table.store()))
        .into();
    // The clock is paused, so a slow input does not time out.
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    Handler {
        table,
        receivers,
        runtime,
    }
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let handler = &*HANDLER;
    let receiver = &handler.receivers[input.len() % handler.receivers.len()];
    if serde_json::from_slice::<&serde_json::value::RawValue>(input).is_ok() {
        handler.check_payload(receiver, input);
    }
    let body = stretch(input);
    handler.check_body(receiver, &body);
    corpus(&body)
});

impl Handler {
    /// Any payload of Lambda gets a response, and only a request with credentials is accepted.
    fn check_payload(&self, receiver: &Receiver, payload: &[u8]) {
        self.table.clear();
        let Payload(event) = parsed(payload);
        let shown = event.headers.get("authorization").cloned();
        let is_look = ["GET", "HEAD"].contains(&event.request_context.http.method.as_str());
        match self.runtime.block_on(receiver.receive(event)) {
            Verdict::UrlCheck => assert!(is_look || shown.is_none(), "credentials are ignored"),
            Verdict::Unauthorized => {
                let is_valid = shown.is_some_and(|value| value == AUTHORIZATION);
                assert!(!is_valid && !is_look, "valid credentials are rejected");
            }
            Verdict::Unavailable => panic!("the table is available"),
            _ => {
                assert!(
                    shown.is_some() && !is_look,
                    "an unauthorized request is accepted"
                );
                return;
            }
        }
        assert!(
            self.table.keys().is_empty(),
            "an unauthorized request is stored"
        );
    }

    /// Any authenticated body is stored byte for byte, and only once, however often it is sent.
    fn check_body(&self, receiver: &Receiver, body: &[u8]) {
        self.table.clear();
        let payload = |authorization: &str| {
            let payload = json!({
                "headers": { "authorization": authorization, "x-amocrm-requestid": "one" },
                "requestContext": { "http": { "method": "POST" }, "requestId": "one", "timeEpoch": 1_795_255_200_000_u64 },
                "body": STANDARD.encode(body),
                "isBase64Encoded": true,
            });
            parsed(payload.to_string().as_bytes())
        };
        let status = self.answer(receiver, payload("Basic bG9jYWw6"));
        assert_eq!(status, 401, "an unauthorized request is accepted");
        assert!(
            self.table.keys().is_empty(),
            "an unauthorized request is stored"
        );

        let status = self.answer(receiver, payload(AUTHORIZATION));
        assert_eq!(status, 200, "a delivery is rejected");
        let keys = self.table.keys();
        let expected: &[&[u8]] = if body.is_empty() { &[] } else { &[body] };
        assert_eq!(
            self.table.deliveries(),
            expected,
            "the exact bytes are lost"
        );

        let status = self.answer(receiver, payload(AUTHORIZATION));
        assert_eq!(status, 200, "a repeated delivery is rejected");
        assert_eq!(
            self.table.keys(),
            keys,
            "a repeated delivery is stored again"
        );
    }

    fn answer(&self, receiver: &Receiver, Payload(event): Payload) -> i64 {
        self.runtime.block_on(receiver.answer(event)).status_code
    }
}

fn parsed(payload: &[u8]) -> Payload {
    serde_json::from_slice(payload).expect("any JSON is a payload")
}
