//! Fields that are new in each of Closer's deliveries. `hookkeeper send` uses them; receivers do
//! not.

use crate::samples::SampleFields;

/// The fields to change so that one of Closer's samples becomes another delivery.
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
    // An object has the same name in a body as in a subject: `customer`.
    places: |_| Vec::new(),
};
