//! Samples of `events/` that can be sent.

use super::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use models::{Delivery, Event, Reason, Record};
use providers::Provider;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Provider, name with verdict, and API Gateway event of each sample.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/samples.rs"));

/// Headers that do not belong to a sample: API Gateway or HTTP adds them, or the sender sets them.
const NOT_THE_PROVIDERS: [&str; 4] = [
    "authorization",
    "content-length",
    "host",
    "transfer-encoding",
];

/// Sample that can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Sample {
    pub(crate) fn content_type(&self) -> &str {
        content_type(&self.headers).unwrap_or_default()
    }
}

pub(crate) fn content_type(headers: &[(String, String)]) -> Option<&str> {
    let mut headers = headers.iter();
    let (_, value) = headers.find(|(name, _)| name == "content-type")?;
    Some(value)
}

/// Sample file, with only the fields that are sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Context,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Samples of a provider that are stored or quarantined. Samples that no request can produce are
/// left out: a body that API Gateway marks as base64-encoded although it is not.
pub(crate) fn samples(provider: &Provider) -> Vec<Sample> {
    let files = FILES.iter().filter(|(name, ..)| *name == provider.name);
    files
        .filter_map(|(_, name, event)| sample(name, event))
        .collect()
}

fn sample(name: &str, event: &str) -> Option<Sample> {
    let (name, verdict) = name.split_once('.')?;
    let request: File = serde_json::from_str(event).ok()?;
    let bytes = if request.is_base64_encoded {
        STANDARD.decode(&request.body).ok()?
    } else {
        request.body.into_bytes()
    };
    let is_sent = request.request_context.http.method == "POST" && !bytes.is_empty();
    let headers = request.headers.into_iter();
    let headers = headers.filter(|(name, _)| is_the_providers(name)).collect();
    let mut sample = Sample {
        name: name.to_owned(),
        headers,
        body: Body::Exact(Vec::new()),
    };
    sample.body = match verdict.split('.').next()? {
        "stored" => Body::read(&bytes, sample.content_type()),
        // Any change could turn it into another case, or into a valid delivery.
        "quarantined" => Body::Exact(bytes),
        _ => return None,
    };
    is_sent.then_some(sample)
}

fn is_the_providers(header: &str) -> bool {
    !NOT_THE_PROVIDERS.contains(&header)
        && !header.starts_with("x-forwarded-")
        && !header.starts_with("x-amzn-")
}

/// What the provider's parser makes of a delivery.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) events: Vec<Event>,
    /// Why it, or the first of its quarantined items, cannot be parsed.
    pub(crate) quarantined: Option<Reason>,
}

/// Parses a delivery with the provider's parser.
pub(crate) fn parse(provider: &Provider, delivery: &Delivery) -> Parsed {
    let mut parsed = Parsed::default();
    for record in Record::from_delivery(provider.name, delivery, (provider.parse)(delivery)) {
        match record {
            Record::Event { event, .. } => parsed.events.push(event),
            Record::Quarantined { reason, .. } => {
                parsed.quarantined.get_or_insert(reason);
            }
            Record::Body { .. } => {}
        }
    }
    parsed
}

/// What the provider's parser makes of a sample, as it is in its file.
pub(crate) fn parse_sample(provider: &Provider, sample: &Sample) -> Parsed {
    let mut delivery = Delivery::new(sample.body.bytes(), super::fresh::now(), &sample.name);
    delivery.origin.content_type = content_type(&sample.headers).map(str::to_owned);
    parse(provider, &delivery)
}

/// Event type without the provider's prefix: `deal.updated`, `conversation.closed`.
pub(crate) fn short(r#type: &str) -> &str {
    r#type.splitn(3, '.').last().unwrap_or(r#type)
}
