//! Closer. Its delivery is not documented. We assume the worst: a timeout of two seconds and no
//! retry.

use super::{
    crm::{Happening, Internet, Request, filler},
    world::seconds,
};
use serde_json::json;
use std::time::Duration;

const TIMEOUT: Duration = seconds(2);

pub(crate) async fn report(internet: &Internet, happening: &Happening) {
    let mark = happening.events.start;
    let body = json!({
        "customer": {
            "id": format!("customer-{}", mark % 50), "firstName": "Alice", "lastName": "Smith", "randomName": false,
            "backOfficeData": [{ "key": "order", "value": mark.to_string() }], "email": "alice@example.com",
        },
        "messageHistory": [{ "author": { "id": "1", "role": "CUSTOMER" }, "message": filler(happening.bytes) }],
        "closedType": "solved",
        "timestamp": happening.epoch_ms(),
        "eventType": "ThreadClosedEvent",
    });
    let request = Request {
        provider: "closer",
        password: "old",
        content_type: "application/json",
        body: body.to_string(),
    };
    internet
        .post(request.in_format_of(happening), TIMEOUT)
        .await;
}
