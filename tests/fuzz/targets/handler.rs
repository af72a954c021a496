//! Fuzzes the handler, from the payload of Lambda to the items in the table.

#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use fuzz::{corpus, memory::Memory, stretch};
use ingest::{Authenticator, Payload, Receiver};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::json;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

/// `local:local`, as the samples have it.
const AUTHORIZATION: &str = "Basic bG9jYWw6bG9jYWw=";

struct Handler {
    table: Memory,
    receivers: [Receiver; 3],
    runtime: Runtime,
}

static HANDLER: LazyLock<Handler> = LazyLock::new(|| {
    let table = Memory::default();
    let gate = Authenticator::for_user("fuzz", "local", "local");
    let providers = [providers::PIPEDRIVE, providers::AMOCRM, providers::CLOSER];
    let receivers = providers.map(|provider| Receiver::new(provider, gate.clone(), table.store()));
    // A slow input is no timeout: the clock stands still.
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
    let receiver = &handler.receivers[input.len() % 3];
    if serde_json::from_slice::<&serde_json::value::RawValue>(input).is_ok() {
        handler.takes_payload(receiver, input);
    }
    let body = stretch(input);
    handler.keeps_body(receiver, &body);
    corpus(&body)
});

impl Handler {
    /// Any payload of Lambda gets a response. It is unauthorized unless it has the credentials.
    fn takes_payload(&self, receiver: &Receiver, payload: &[u8]) {
        self.table.clear();
        let event = parsed(payload);
        let shown = event
            .0
            .headers
            .get("authorization")
            .is_some_and(|value| value == AUTHORIZATION);
        let looks = ["GET", "HEAD"].contains(&event.0.request_context.http.method.as_str());
        let near = String::from_utf8_lossy(payload)
            .to_lowercase()
            .contains("authorization");
        match self.answer(receiver, event) {
            200 => assert!(shown || looks || near, "a stranger came in"),
            401 => assert!(!shown && !looks, "credentials were refused"),
            other => panic!("answered {other}"),
        }
        assert!(
            self.table.keys().is_empty() || near && !looks,
            "what a stranger sent was kept"
        );
    }

    /// Any authenticated body is stored byte for byte, and only once, however often it is sent.
    fn keeps_body(&self, receiver: &Receiver, body: &[u8]) {
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
        assert_eq!(
            self.answer(receiver, payload("Basic bG9jYWw6")),
            401,
            "a stranger came in"
        );
        assert!(
            self.table.keys().is_empty(),
            "what a stranger sent was kept"
        );

        assert_eq!(
            self.answer(receiver, payload(AUTHORIZATION)),
            200,
            "a delivery was refused"
        );
        let keys = self.table.keys();
        let bodies = if body.is_empty() {
            Vec::new()
        } else {
            vec![body.to_vec()]
        };
        assert_eq!(self.table.bodies(), bodies, "its exact bytes are not there");

        assert_eq!(
            self.answer(receiver, payload(AUTHORIZATION)),
            200,
            "the delivery was refused when it came again"
        );
        assert_eq!(self.table.keys(), keys, "it was kept twice");
    }

    fn answer(&self, receiver: &Receiver, Payload(event): Payload) -> i64 {
        self.runtime.block_on(receiver.answer(event)).status_code
    }
}

fn parsed(payload: &[u8]) -> Payload {
    serde_json::from_slice(payload).expect("Lambda's JSON is a payload")
}
