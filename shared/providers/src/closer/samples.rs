//! What is new in each of Closer's deliveries. Used by `hookkeeper send`, and by no receiver.

use crate::samples::Renewal;

/// What makes one of Closer's samples another delivery.
pub const RENEWAL: Renewal = Renewal {
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
