//! What is new in each of Closer's deliveries. Used by `hookkeeper send`, and by no receiver.

use crate::samples::SampleFields;

/// What makes one of Closer's samples another delivery.
pub const FIELDS: SampleFields = SampleFields {
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
    attempts: &[],
    // What a body tells of is called in it what it is called in a subject: `customer`.
    places: |_| Vec::new(),
};
