//! Events of the CRMs, and how a CRM sends them. The events depend only on the seed, so both
//! receivers get the same ones.

use super::{
    aws::{Aws, Failure, Part},
    lambda::{Function, Response},
    scenarios::{Scenario, Twist},
    world::epoch_ms,
};
use crate::request;
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri},
};
use fastrand::Rng;
use hookkeeper::dev::gateway;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A way in which a provider sends events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Pipedrive's webhooks v1.
    PipedriveV1,
    /// Pipedrive's webhooks v2.
    PipedriveV2,
    /// amoCRM's account webhooks.
    AmocrmAccount,
    /// amoCRM's digital pipeline.
    AmocrmPipeline,
    /// Closer's webhooks.
    Closer,
}

/// A number of nine digits, the first one a 7, that identifies an event in any stored text.
pub(crate) type Mark = u32;

const FIRST_MARK: Mark = 700_000_000;

/// Events that a provider sends together.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) at: Duration,
    pub(crate) channel: Channel,
    pub(crate) events: Range<Mark>,
    /// Whether this is a late copy, like a retry after a lost response.
    pub(crate) is_copy: bool,
    /// Minimum size of the body, in bytes.
    pub(crate) bytes: usize,
    /// Whether it is sent in a format that no parser can parse.
    pub(crate) is_unreadable: bool,
}

impl Happening {
    pub(crate) fn epoch_ms(&self) -> u64 {
        epoch_ms(self.at)
    }
}

/// Everything that happens in a scenario, in order.
pub(crate) fn happenings(scenario: &Scenario, seed: u64) -> Vec<Happening> {
    let mut random = Rng::with_seed(seed);
    let mut happenings: Vec<Happening> = Vec::new();
    let mut mark = FIRST_MARK;
    for &(channel, count) in &*scenario.load {
        for _ in 0..count / scenario.thinned {
            let at = scenario.lasts.mul_f64(random.f64());
            let together = if channel == Channel::AmocrmAccount && random.u8(..10) == 0 {
                3
            } else {
                1
            };
            let before = happenings
                .last()
                .filter(|before| before.channel == channel && random.u8(..10) == 0);
            let events = match before {
                // A lead that moves to the same stage again: the same bytes, but another event.
                Some(before) if channel == Channel::AmocrmPipeline => before.events.clone(),
                _ => mark..mark + together,
            };
            mark = mark.max(events.end);
            let is_unreadable = scenario.twist == Some(Twist::Unreadable);
            happenings.push(Happening {
                at,
                channel,
                events,
                bytes: scenario.bytes,
                is_unreadable,
                is_copy: false,
            });
        }
    }
    happenings.sort_by_key(|happening| happening.at);
    happenings
}

/// An event, for the comparison with the stored events.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) channel: Channel,
    /// Times at which it happened.
    pub(crate) at: Vec<Duration>,
    /// Whether it carries its own time, which distinguishes a copy of it from another event.
    pub(crate) has_own_time: bool,
}

/// All events, by their marks.
pub(crate) fn events(happenings: &[Happening]) -> BTreeMap<Mark, Event> {
    let mut events = BTreeMap::new();
    for happening in happenings {
        let channel = happening.channel;
        let has_own_time = channel != Channel::AmocrmPipeline && !happening.is_unreadable;
        for mark in happening.events.clone() {
            let event = events.entry(mark).or_insert_with(|| Event {
                channel,
                at: Vec::new(),
                has_own_time,
            });
            event.at.push(happening.at);
        }
    }
    events
}

/// The marks in a text.
pub(crate) fn marks(text: &str) -> BTreeSet<Mark> {
    let numbers = text.split(|character: char| !character.is_ascii_digit());
    let marks = numbers.filter(|number| number.len() == 9 && number.starts_with('7'));
    marks.map(|mark| mark.parse().unwrap()).collect()
}

/// A request of a provider.
pub(crate) struct Request {
    /// Name of the provider, which is also the path and the name of the function.
    pub(crate) provider: &'static str,
    pub(crate) password: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Request {
    /// The same in the format in which the events are sent.
    pub(crate) fn in_format_of(self, happening: &Happening) -> Self {
        if !happening.is_unreadable {
            return self;
        }
        let marks: Vec<_> = happening.events.clone().collect();
        Self {
            content_type: "application/xml",
            body: format!("<webhook v='3'>{marks:?}</webhook>"),
            ..self
        }
    }
}

/// A POST to a webhook.
pub(crate) struct Post<'a> {
    /// Name of the provider, which is also the name of the function.
    pub(crate) provider: &'static str,
    pub(crate) url: &'a str,
    /// The value of `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

pub(crate) fn basic(password: &str) -> String {
    request::basic(&format!("hookkeeper:{password}"))
}

/// A text of this length, like a note in a CRM.
pub(crate) fn filler(bytes: usize) -> String {
    "Asked for a second offer; call back on Monday. "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

/// What a stranger authenticates with.
pub(crate) const WRONG_PASSWORD: &str = "wrong";

/// Connection of the providers to their functions.
pub(crate) struct Internet {
    pub(crate) aws: Arc<Aws>,
    pub(crate) functions: HashMap<&'static str, Arc<Function>>,
    pub(crate) requests: AtomicU64,
    /// The responses of API Gateway, whether or not their providers got them.
    pub(crate) responses: Arc<Mutex<Vec<Responded>>>,
}

/// A request that API Gateway responded to.
#[derive(Debug)]
pub(crate) struct Responded {
    pub(crate) marks: BTreeSet<Mark>,
    pub(crate) is_authorized: bool,
    pub(crate) response: Response,
}

impl Responded {
    /// Whether API Gateway answered with 2xx.
    pub(crate) fn is_taken(&self) -> bool {
        (200..300).contains(&self.response.status)
    }
}

impl Internet {
    /// Sends a request of a provider: see [`Internet::send`].
    pub(crate) async fn post(&self, request: Request, timeout: Duration) -> Option<u16> {
        let post = Post {
            provider: request.provider,
            url: &format!("/{}", request.provider),
            authorization: Some(basic(request.password)),
            content_type: request.content_type,
            body: request.body,
        };
        self.send(post, timeout).await
    }

    /// The status of a response within the provider's timeout. After the timeout, the function
    /// continues.
    pub(crate) async fn send(&self, request: Post<'_>, timeout: Duration) -> Option<u16> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let is_authorized = request.authorization != Some(basic(WRONG_PASSWORD));
        let headers = [
            ("authorization", request.authorization),
            ("content-type", Some(request.content_type.to_owned())),
            ("x-amocrm-requestid", Some(format!("amocrm-{number}"))),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(value?).unwrap();
            Some((HeaderName::from_static(name), value))
        });
        let headers: HeaderMap = headers.collect();
        let uri: Uri = request.url.parse().unwrap();
        let mut event = gateway::event(
            &Method::POST,
            &uri,
            &headers,
            &Bytes::from(request.body.clone()),
        );
        event.request_context.request_id = Some(format!("gateway-{number}"));
        let function = self.functions[request.provider].clone();
        let responses = self.responses.clone();
        let failure = self.aws.failure(Part::Network);
        if let Some(Failure::Hangs | Failure::Refuses) = failure {
            return None;
        }
        if let Some(Failure::Slow(latency)) = &failure {
            let latency = self.aws.world.millis(latency);
            tokio::time::sleep(latency.min(timeout)).await;
        }
        let arrival = self.aws.clock(Part::GatewayClock);
        event.request_context.time_epoch = arrival.as_micros() / 1_000;
        let answer = tokio::spawn(async move {
            let response = function.invoke(event).await;
            let status = response.status;
            responses.lock().unwrap().push(Responded {
                marks: marks(&request.body),
                is_authorized,
                response,
            });
            status
        });
        let status = tokio::time::timeout(timeout, answer).await.ok()?.ok();
        status.filter(|_| !matches!(failure, Some(Failure::LosesResponses)))
    }
}
