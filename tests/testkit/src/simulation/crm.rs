//! Events of the CRMs, and how a CRM sends them. The events depend only on the seed, so both
//! receivers get the same ones.

use super::{
    aws::Aws,
    lambda::Function,
    scenarios::{Scenario, Twist},
    world::epoch_ms,
};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use fastrand::Rng;
use hookkeeper::dev::gateway;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A way by which a provider reports what happens.
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

/// The number by which an event can be found wherever its text is kept: nine digits, the first one a 7.
pub(crate) type Mark = u32;

const FIRST_MARK: Mark = 700_000_000;

/// Events that a provider reports together.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) at: Duration,
    pub(crate) channel: Channel,
    pub(crate) events: Range<Mark>,
    /// Whether this is a late copy of what was reported before, as a retry is whose first answer got lost.
    pub(crate) is_copy: bool,
    /// How many bytes its body is made to have, at the least.
    pub(crate) bytes: usize,
    /// Whether it is sent in a format that nobody can read.
    pub(crate) is_unreadable: bool,
}

impl Happening {
    pub(crate) fn epoch_ms(&self) -> u64 {
        epoch_ms(self.at)
    }
}

/// Everything that happens in a scenario, in order.
pub(crate) fn happenings(scenario: &Scenario, seed: u64) -> Vec<Happening> {
    let mut dice = Rng::with_seed(seed);
    let mut happenings: Vec<Happening> = Vec::new();
    let mut mark = FIRST_MARK;
    for &(channel, count) in scenario.load {
        for _ in 0..count / scenario.thinned {
            let at = scenario.lasts.mul_f64(dice.f64());
            let together = if channel == Channel::AmocrmAccount && dice.u8(..10) == 0 {
                3
            } else {
                1
            };
            let before = happenings
                .last()
                .filter(|before| before.channel == channel && dice.u8(..10) == 0);
            let events = match before {
                // A lead that moves to the same stage again: the very same bytes, and yet another event.
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

/// What is known of an event from what happened, to compare with what was kept.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) channel: Channel,
    /// When it happened.
    pub(crate) at: Vec<Duration>,
    /// Whether it tells when it happened, so that a copy of it can be told from another event.
    pub(crate) has_own_time: bool,
}

/// All events, by their marks.
pub(crate) fn events(happenings: &[Happening]) -> BTreeMap<Mark, Event> {
    let mut events = BTreeMap::new();
    for happening in happenings {
        let (channel, has_own_time) = (
            happening.channel,
            happening.channel != Channel::AmocrmPipeline && !happening.is_unreadable,
        );
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

/// The marks in a text: nine digits between what are none.
pub(crate) fn marks(text: &str) -> BTreeSet<Mark> {
    let numbers = text.split(|it: char| !it.is_ascii_digit());
    numbers
        .filter(|number| number.len() == 9 && number.starts_with('7'))
        .map(|mark| mark.parse().unwrap())
        .collect()
}

/// One request of a provider's.
pub(crate) struct Request {
    /// Its path, and the name of the function behind it.
    pub(crate) provider: &'static str,
    pub(crate) password: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Request {
    /// The same in a format that nobody reads, where that is what was sent.
    pub(crate) fn of(mut self, happening: &Happening) -> Self {
        if happening.is_unreadable {
            (self.content_type, self.body) = (
                "application/xml",
                format!(
                    "<webhook v='3'>{:?}</webhook>",
                    happening.events.clone().collect::<Vec<_>>()
                ),
            );
        }
        self
    }
}

pub(crate) fn basic(password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("hookkeeper:{password}"))
    )
}

/// A text of so many bytes, like a note that somebody wrote.
pub(crate) fn filler(bytes: usize) -> String {
    "Asked for a second offer; call back on Monday. "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

/// The internet between the providers and their functions.
pub(crate) struct Internet {
    pub(crate) aws: Arc<Aws>,
    pub(crate) functions: HashMap<&'static str, Arc<Function>>,
    pub(crate) requests: AtomicU64,
}

impl Internet {
    /// The status of a response within the provider's timeout. After the timeout, the function
    /// continues.
    pub(crate) async fn post(&self, request: Request, timeout: Duration) -> Option<u16> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let header = |name, value: &str| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        let headers = HeaderMap::from_iter([
            header("authorization", &basic(request.password)),
            header("content-type", request.content_type),
            header("x-amocrm-requestid", &format!("amocrm-{number}")),
        ]);
        let uri: Uri = format!("/{}", request.provider).parse().unwrap();
        let mut event = gateway::event(&Method::POST, &uri, &headers, &Bytes::from(request.body));
        event.request_context.request_id = Some(format!("gateway-{number}"));
        event.request_context.time_epoch = epoch_ms(self.aws.world.now()).try_into().unwrap();
        let function = self.functions[request.provider].clone();
        let answer = tokio::spawn(async move { function.invoke(event).await });
        tokio::time::timeout(timeout, answer).await.ok()?.ok()
    }
}
