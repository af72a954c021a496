//! How Closer's samples become other deliveries. `hookkeeper send` uses this; receivers do not.

use crate::samples::SampleRules;

/// The rules for Closer's samples. There are no places: an object has the same name in a body as in
/// a subject, `customer`.
pub const RULES: SampleRules = SampleRules {
    ids: &[
        "customer.id",
        "message.event.agentId",
        "message.event.roomId",
        "message.event.guestId",
    ],
    references: &["messageHistory.*.author.id"],
    times: &[
        "timestamp",
        "message.timestamp",
        "@timestamp",
        "messageHistory.*.timestamp",
    ],
    example: concat!(
        r#"{"eventType":"ThreadCreatedEvent","timestamp":1795255200000,"#,
        r#""customer":{"id":"c-1","firstName":"Ada"}}"#
    ),
    numbered,
    ..SampleRules::NONE
};

fn numbered(number: u32) -> String {
    format!(
        r#"{{"eventType":"ThreadCreatedEvent","timestamp":1795255200000,"customer":{{"id":"{number}","firstName":"Ada"}}}}"#
    )
}
