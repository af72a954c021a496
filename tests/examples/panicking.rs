//! A receiver whose parser panics on a body with a marker, and parses any other as Pipedrive's. It
//! is an example, so that no tool takes it for one of the functions.

use models::{Delivery, Parsed};
use providers::{PIPEDRIVE, Provider};
use std::process::ExitCode;

/// The parser panics on a body with this text, and its message quotes the body.
const MARKER: &str = "panic!";

fn parse(delivery: &Delivery) -> Parsed {
    let body = String::from_utf8_lossy(&delivery.body);
    assert!(!body.contains(MARKER), "cannot read {body}");
    (PIPEDRIVE.parse)(delivery)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ingest::run(Provider { parse, ..PIPEDRIVE }).await
}
