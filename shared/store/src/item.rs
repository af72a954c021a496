//! The form of a record in DynamoDB, both ways.
//!
//! | record | `pk` | `sk` |
//! |---|---|---|
//! | event | `<source>#<subject>` | `<time>#<id>` |
//! | body of a delivery with several events | `delivery#<provider>#<delivery>` | `body` |
//! | quarantined delivery | `quarantine#<provider>#<day>#<shard>` | `<arrival>#<delivery>` |
//!
//! So the history of deal 42 is one Query in the order in which things happened, and the conditional put on the key folds
//! retries. An event's CloudEvents attributes stand under their own names; `specversion` and `datacontenttype`, which
//! never differ, are left out.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use models::{
    Body, DataContentType, Event, EventId, Origin, Record, SpecVersion, TimeProblem, Timestamp, Unreadable, shard,
};
use std::{collections::HashMap, time::Duration};

/// What is stored: attributes by name.
pub type Item = HashMap<String, AttributeValue>;

/// Why an item is not a record of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// An attribute is missing, or of another type or form.
    #[error("the item's `{0}` is missing or is not what this version writes")]
    Attribute(&'static str),
}

/// The item of a record that is kept now. `retention` is how long events stay; quarantined deliveries stay until they
/// are dropped.
#[must_use]
pub fn encode(record: Record, kept: Timestamp, retention: Option<Duration>) -> Item {
    let mut item = Item::new();
    match record {
        Record::Event { event, origin, body } => {
            text(&mut item, "pk", format!("{}#{}", event.source, event.subject));
            text(&mut item, "sk", format!("{}#{}", event.time, event.id));
            text(&mut item, "hour", format!("{}#{}", kept.hour(), shard(event.id.as_str())));
            encode_event(&mut item, event);
            encode_origin(&mut item, origin);
            match body {
                Body::Data => {}
                Body::Here(bytes) => blob(&mut item, "body", bytes),
                Body::Shared(delivery) => text(&mut item, "delivery", delivery),
            }
            expire(&mut item, kept, retention);
        }
        Record::Body { provider, delivery, origin, bytes } => {
            text(&mut item, "pk", format!("delivery#{provider}#{delivery}"));
            text(&mut item, "sk", "body".to_owned());
            text(&mut item, "provider", provider);
            text(&mut item, "delivery", delivery);
            encode_origin(&mut item, origin);
            blob(&mut item, "body", bytes);
            expire(&mut item, kept, retention);
        }
        Record::Quarantined { provider, delivery, origin, reason, bytes } => {
            text(&mut item, "pk", quarantine_pk(&provider, &origin.arrival.day(), shard(&delivery)));
            text(&mut item, "sk", format!("{}#{delivery}", origin.arrival));
            text(&mut item, "provider", provider);
            text(&mut item, "delivery", delivery);
            text(&mut item, "reason", reason.reason().to_owned());
            text(&mut item, "unreadable", serde_json::to_string(&reason).unwrap_or_default());
            encode_origin(&mut item, origin);
            blob(&mut item, "body", bytes);
        }
    }
    text(&mut item, "kept", kept.to_string());
    item
}

/// The partition of a day's quarantined deliveries of one provider, one of [`models::SHARDS`].
#[must_use]
pub fn quarantine_pk(provider: &str, day: &str, shard: char) -> String {
    format!("quarantine#{provider}#{day}#{shard}")
}

fn encode_event(item: &mut Item, event: Event) {
    text(item, "id", event.id.to_string());
    text(item, "source", event.source);
    text(item, "type", event.r#type);
    text(item, "subject", event.subject);
    text(item, "time", event.time.to_string());
    text(item, "originaltype", event.originaltype);
    if let Some(apiversion) = event.apiversion {
        text(item, "apiversion", apiversion);
    }
    if let Some(channel) = event.channel {
        text(item, "channel", channel);
    }
    if let Some(problem) = event.timeproblem {
        text(item, "timeproblem", time_problem(problem).to_owned());
    }
    text(item, "data", Box::<str>::from(event.data).into_string());
}

fn encode_origin(item: &mut Item, origin: Origin) {
    text(item, "arrival", origin.arrival.to_string());
    text(item, "requestid", origin.request_id);
    if let Some(content_type) = origin.content_type {
        text(item, "contenttype", content_type);
    }
}

fn expire(item: &mut Item, kept: Timestamp, retention: Option<Duration>) {
    if let Some(retention) = retention {
        let expires = kept.as_seconds().saturating_add_unsigned(retention.as_secs());
        item.insert("expires".to_owned(), AttributeValue::N(expires.to_string()));
    }
}

fn text(item: &mut Item, name: &str, value: String) {
    item.insert(name.to_owned(), AttributeValue::S(value));
}

fn blob(item: &mut Item, name: &str, value: Vec<u8>) {
    item.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
}

/// The record of an item.
///
/// # Errors
/// [`ItemError::Attribute`]: the item is not one that [`encode`] makes.
pub fn decode(mut item: Item) -> Result<Record, ItemError> {
    let origin = decode_origin(&mut item)?;
    let pk = take(&mut item, "pk")?;
    if pk.starts_with("delivery#") {
        return Ok(Record::Body {
            provider: take(&mut item, "provider")?,
            delivery: take(&mut item, "delivery")?,
            origin,
            bytes: take_bytes(&mut item)?,
        });
    }
    if pk.starts_with("quarantine#") {
        return Ok(Record::Quarantined {
            provider: take(&mut item, "provider")?,
            delivery: take(&mut item, "delivery")?,
            origin,
            reason: parse(&take(&mut item, "unreadable")?, "unreadable")?,
            bytes: take_bytes(&mut item)?,
        });
    }
    let body = match (take(&mut item, "delivery"), take_bytes(&mut item)) {
        (Ok(delivery), _) => Body::Shared(delivery),
        (Err(_), Ok(bytes)) => Body::Here(bytes),
        (Err(_), Err(_)) => Body::Data,
    };
    Ok(Record::Event { event: decode_event(&mut item)?, origin, body })
}

fn decode_event(item: &mut Item) -> Result<Event, ItemError> {
    Ok(Event {
        specversion: SpecVersion::V1_0,
        id: EventId::stored(take(item, "id")?),
        source: take(item, "source")?,
        r#type: take(item, "type")?,
        subject: take(item, "subject")?,
        time: take_time(item, "time")?,
        datacontenttype: DataContentType::Json,
        originaltype: take(item, "originaltype")?,
        apiversion: take(item, "apiversion").ok(),
        channel: take(item, "channel").ok(),
        timeproblem: [TimeProblem::Missing, TimeProblem::Absurd].into_iter().find(|problem| {
            item.get("timeproblem").and_then(|it| it.as_s().ok()).is_some_and(|it| it == time_problem(*problem))
        }),
        data: serde_json::value::RawValue::from_string(take(item, "data")?)
            .map_err(|_| ItemError::Attribute("data"))?,
    })
}

fn time_problem(problem: TimeProblem) -> &'static str {
    match problem {
        TimeProblem::Missing => "missing",
        TimeProblem::Absurd => "absurd",
    }
}

fn decode_origin(item: &mut Item) -> Result<Origin, ItemError> {
    Ok(Origin {
        arrival: take_time(item, "arrival")?,
        request_id: take(item, "requestid")?,
        content_type: take(item, "contenttype").ok(),
    })
}

fn parse(json: &str, name: &'static str) -> Result<Unreadable, ItemError> {
    serde_json::from_str(json).map_err(|_| ItemError::Attribute(name))
}

fn take(item: &mut Item, name: &'static str) -> Result<String, ItemError> {
    match item.remove(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(ItemError::Attribute(name)),
    }
}

fn take_time(item: &mut Item, name: &'static str) -> Result<Timestamp, ItemError> {
    Timestamp::parse(&take(item, name)?).ok_or(ItemError::Attribute(name))
}

fn take_bytes(item: &mut Item) -> Result<Vec<u8>, ItemError> {
    match item.remove("body") {
        Some(AttributeValue::B(blob)) => Ok(blob.into_inner()),
        _ => Err(ItemError::Attribute("body")),
    }
}
