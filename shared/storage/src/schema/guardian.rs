//! The items of a guardian: the state of an account, and its name in the partition that lists all
//! accounts.

use super::{Head, Item, ItemError, Key, Kind, Lease, from_item, to_item};
use models::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The partition key of the names of all accounts. A sender cannot choose it: the partition key of
/// an event contains `#`.
pub(crate) const ACCOUNTS_PK: &str = "guardians";

/// What is known about the webhooks of an account. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardian {
    /// `<provider>/<account id>`, as in the `source` of the account's events.
    pub account: String,
    /// The process that may write.
    #[serde(flatten)]
    pub lease: Lease,
    /// When the account was first watched, or registered.
    pub registered: Timestamp,
    /// Our webhooks in the provider's last list.
    #[serde(default)]
    pub webhooks: Vec<KnownWebhook>,
    /// The codes of events to which the account refuses to subscribe.
    #[serde(default)]
    pub refused: BTreeSet<String>,
    /// The rotation of the credential. While there is one, a guardian changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotating: Option<Rotation>,
    /// Times in which events may have been lost.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// What the last reading of a whole day found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
    /// When the provider was last asked for changes although it had delivered nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// When an event of the account was last recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Heard>,
    /// The use of the API's daily budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// When the guardian created a webhook, in the last 24 hours.
    #[serde(default)]
    pub created: Vec<Timestamp>,
    /// When the provider's list was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Timestamp>,
    /// When the list last had the wanted webhook, alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<Timestamp>,
    /// The finding of the last pass that is still open, else `ok`.
    #[serde(default = "ok")]
    pub finding: String,
    /// Why it is open, without a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when there is this finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A webhook of ours in the provider's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWebhook {
    /// Its id.
    pub id: u64,
    /// The user name of its credential, if the list shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Why it is dead. `None`: it is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
    /// When it last delivered an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Timestamp>,
    /// The status of the last response to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// A rotation of an account's credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// When it began.
    pub since: Timestamp,
    /// The step that is done.
    pub step: Step,
    /// When it was done.
    pub at: Timestamp,
    /// The ids of the webhooks that are replaced.
    #[serde(default)]
    pub replaced: Vec<u64>,
    /// The label of the new credential, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The label of the credential that is replaced, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldlabel: Option<String>,
}

/// A step of a rotation that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// No rotation: the webhook is being registered or unregistered, and a guardian must not act.
    Registering,
    /// The webhooks that are replaced are known.
    Begun,
    /// The receiver accepts the new credential.
    Accepted,
    /// The new webhook is in the provider's list.
    Created,
    /// The new webhook delivers, and the replaced ones are deleted.
    Deleted,
}

impl Rotation {
    /// A rotation, or a registration, that begins now.
    #[must_use]
    pub fn new(step: Step, now: Timestamp) -> Self {
        Self {
            since: now,
            step,
            at: now,
            replaced: Vec::new(),
            label: None,
            oldlabel: None,
        }
    }
}

/// A time in which events may have been lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its first moment: when an event of the account was last recorded.
    pub from: Timestamp,
    /// Its last moment: when the webhook was created again.
    pub until: Timestamp,
    /// The finding that opened it.
    pub reason: String,
}

/// The changes of a day, as the provider's API shows them and as the table has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// The end of the day.
    pub until: Timestamp,
    /// The changes that the API shows.
    pub shown: u64,
    /// Those of them that are in the table.
    pub stored: u64,
    /// Those of the stored ones that were read back from the API.
    pub healed: u64,
}

/// When an event of an account was last recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The last event. `None`: there is none, or only an older one than is searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// When this was read from the index, which is read from here on the next time.
    pub read: Timestamp,
}

/// What was used of the daily budget of an API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day, in UTC: `2026-11-21`.
    pub day: String,
    /// Tokens.
    pub tokens: u32,
}

#[derive(Serialize, Deserialize)]
struct GuardianItem {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    guardian: Guardian,
}

fn ok() -> String {
    "ok".to_owned()
}

/// Returns the key of an account's state.
pub(crate) fn key(account: &str) -> Key {
    Key {
        pk: format!("guardian#{account}"),
        sk: "state".to_owned(),
    }
}

/// Returns the key of an account's name in the list of all accounts.
pub(crate) fn account_key(account: &str) -> Key {
    Key {
        pk: ACCOUNTS_PK.to_owned(),
        sk: account.to_owned(),
    }
}

impl Guardian {
    /// The state of an account that nobody has looked at.
    pub(crate) fn new(account: &str, lease: Lease, now: Timestamp) -> Self {
        Self {
            account: account.to_owned(),
            lease,
            registered: now,
            webhooks: Vec::new(),
            refused: BTreeSet::new(),
            rotating: None,
            gaps: Vec::new(),
            completeness: None,
            asked: None,
            heard: None,
            spent: None,
            created: Vec::new(),
            listed: None,
            alive: None,
            finding: ok(),
            reason: None,
            since: None,
        }
    }
}

/// Encodes an account's state.
pub(crate) fn encode(guardian: &Guardian) -> Item {
    to_item(&GuardianItem {
        head: Head::new(key(&guardian.account), Kind::Guardian, None),
        guardian: guardian.clone(),
    })
}

/// Encodes an account's name.
pub(crate) fn encode_account(account: &str) -> Item {
    to_item(&Head::new(account_key(account), Kind::Guardian, None))
}

/// Decodes an account's state.
///
/// # Errors
/// [`ItemError`].
pub(crate) fn decode(item: Item) -> Result<Guardian, ItemError> {
    match Kind::of(&item)? {
        Kind::Guardian => Ok(from_item::<GuardianItem>(item)?.guardian),
        _ => Err(ItemError::Malformed),
    }
}
