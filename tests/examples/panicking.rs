//! A function whose reader panics on a body that asks for it, and reads any other as Pipedrive's: what a defect of ours
//! must not cost. An example, so that no tool takes it for one of the functions.

use models::{Delivery, Event, ParseError};
use providers::PIPEDRIVE;
use providers::Provider;
use std::process::ExitCode;

/// What the reader panics on, and quotes in its message.
const MARKER: &str = "panic!";

fn read(delivery: &Delivery) -> Result<Vec<Event>, ParseError> {
    let body = String::from_utf8_lossy(&delivery.body);
    assert!(!body.contains(MARKER), "cannot read {body}");
    (PIPEDRIVE.read)(delivery)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ingest::run(Provider { read, ..PIPEDRIVE }).await
}
