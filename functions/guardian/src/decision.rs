//! The decision about an account's webhook: a pure function of the provider's list.
//!
//! | the list has | decision |
//! |---|---|
//! | one webhook with our URL, as it is wanted and alive | nothing |
//! | several such webhooks | keep the one that delivered last, delete the others |
//! | none of ours | create one |
//! | ours, dead | create one, and delete the dead one when the list has the new one |
//! | ours, with another user, key or fewer codes of events | the same |
//! | one with our URL, of another kind (version, action or object) | nothing: somebody wants it |
//! | any other webhook | nothing |
//!
//! A webhook is only deleted if the same list has the one that replaces it.

use providers::api::{Wanted, Webhook};
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeSet};

/// What was found about a webhook, or about the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The wanted webhook is listed and alive.
    Ok,
    /// None of ours is listed.
    Missing,
    /// Ours is listed, and the provider does not use it any more.
    Dead,
    /// There is a second one, and each event is delivered twice.
    Duplicate,
    /// Ours has another credential, or not all codes of events.
    Superseded,
    /// The account has as many webhooks as it may have.
    Limit,
    /// The token, or the right of its user, is refused.
    Unauthorized,
    /// The provider's rate limit is reached.
    RateLimited,
    /// The provider's API gave no well-formed success: an outage, no response, or one that is not
    /// documented.
    Malformed,
    /// Webhooks did not arrive.
    Gap,
    /// Changes are missing for which there may be no webhook.
    Suspicion,
}

/// What is known when a decision is made.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The provider's list.
    pub listed: &'a [Webhook],
    /// The webhook that is wanted.
    pub wanted: &'a Wanted,
    /// The ids of webhooks that were ours in an earlier list.
    pub known: &'a BTreeSet<u64>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The wanted webhook is listed and alive. Others of ours are to be deleted.
    Keep(Vec<Deletion<'a>>),
    /// The wanted webhook is to be created.
    Create(Creation<'a>),
}

/// Why the wanted webhook is to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Creation<'a> {
    /// What was found.
    pub finding: Finding,
    /// The webhook of ours that the new one replaces, if there is one.
    pub replaces: Option<&'a Webhook>,
}

/// A webhook that is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion<'a> {
    /// What was found.
    pub finding: Finding,
    /// The webhook.
    pub webhook: &'a Webhook,
}

impl Finding {
    /// Its name in the state, in logs and in `--output json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Dead => "dead",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
            Self::Limit => "limit",
            Self::Unauthorized => "unauthorized",
            Self::RateLimited => "rate_limited",
            Self::Malformed => "malformed",
            Self::Gap => "gap",
            Self::Suspicion => "suspicion",
        }
    }
}

impl<'a> Facts<'a> {
    /// Decides what is to be done.
    #[must_use]
    pub fn decide(self) -> Decision<'a> {
        let ours: Vec<&Webhook> = self.ours().collect();
        let Some(kept) = self.kept() else {
            return Decision::Create(Creation::new(&ours, self.wanted));
        };
        let others = ours.into_iter().filter(|webhook| webhook.id != kept.id);
        let deletions = others.map(|webhook| Deletion {
            finding: surplus(webhook, self.wanted),
            webhook,
        });
        Decision::Keep(deletions.collect())
    }

    /// Our webhooks of the wanted kind: those with exactly our URL, and those that were ours in an
    /// earlier list and have the same URL with another key.
    pub fn ours(self) -> impl Iterator<Item = &'a Webhook> {
        self.listed.iter().filter(move |webhook| {
            let is_known = self.known.contains(&webhook.id);
            let has_our_path = without_query(&webhook.url) == without_query(&self.wanted.url);
            webhook.kind == self.wanted.kind
                && (webhook.url == self.wanted.url || is_known && has_our_path)
        })
    }

    /// The webhook that stays: of those that are as wanted and alive, the one that delivered last,
    /// and of several such the one with the lowest id.
    #[must_use]
    pub fn kept(self) -> Option<&'a Webhook> {
        let alive = self.ours().filter(|webhook| webhook.dead.is_none());
        let wanted = alive.filter(|webhook| self.wanted.is_met_by(webhook));
        wanted.max_by_key(|webhook| (webhook.last_delivery, Reverse(webhook.id)))
    }
}

impl<'a> Creation<'a> {
    fn new(ours: &[&'a Webhook], wanted: &Wanted) -> Self {
        // The one with the same URL: the provider may replace that one itself.
        let same_url = ours.iter().find(|webhook| webhook.url == wanted.url);
        let replaces = same_url.or(ours.first()).copied();
        Self {
            finding: match replaces {
                None => Finding::Missing,
                Some(webhook) if webhook.dead.is_some() => Finding::Dead,
                Some(_) => Finding::Superseded,
            },
            replaces,
        }
    }
}

/// What was found about a webhook beside the one that stays.
fn surplus(webhook: &Webhook, wanted: &Wanted) -> Finding {
    if webhook.dead.is_some() {
        Finding::Dead
    } else if wanted.is_met_by(webhook) {
        Finding::Duplicate
    } else {
        Finding::Superseded
    }
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(url, _)| url)
}
