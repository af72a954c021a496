//! The parameters of a webhook of Pipedrive.

use serde::Deserialize;

const ACTIONS: [&str; 4] = ["create", "change", "delete", "*"];
const OBJECTS: [&str; 17] = [
    "activity",
    "board",
    "deal",
    "deal_installment",
    "deal_product",
    "lead",
    "note",
    "organization",
    "person",
    "phase",
    "pipeline",
    "product",
    "project",
    "stage",
    "task",
    "user",
    "*",
];
const MAX_NAME: usize = 255;

/// Parameters of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewWebhook {
    /// Its URL.
    pub subscription_url: String,
    /// `*`, `create`, `change` or `delete`.
    pub event_action: String,
    /// `*`, or an object.
    pub event_object: String,
    /// Its name.
    pub name: String,
    /// `2.0` or `1.0`.
    #[serde(default = "newest_version")]
    pub version: String,
    /// User name of its requests.
    pub http_auth_user: Option<String>,
    /// Password of its requests.
    pub http_auth_password: Option<String>,
}

fn newest_version() -> String {
    "2.0".to_owned()
}

impl NewWebhook {
    /// A webhook for all events of version 2, without a password.
    #[must_use]
    pub fn all(url: &str) -> Self {
        Self {
            subscription_url: url.to_owned(),
            event_action: "*".to_owned(),
            event_object: "*".to_owned(),
            name: "Webhook".to_owned(),
            version: newest_version(),
            http_auth_user: None,
            http_auth_password: None,
        }
    }

    /// The names of the fields that Pipedrive does not accept.
    pub(super) fn invalid(&self) -> Vec<&'static str> {
        let is_valid = [
            ("event_action", ACTIONS.contains(&&*self.event_action)),
            ("event_object", OBJECTS.contains(&&*self.event_object)),
            ("name", (1..=MAX_NAME).contains(&self.name.chars().count())),
            ("version", ["1.0", "2.0"].contains(&&*self.version)),
        ];
        let invalid = is_valid.into_iter().filter(|(_, is_valid)| !is_valid);
        invalid.map(|(name, _)| name).collect()
    }

    pub(super) fn matches(&self, kind: &str) -> bool {
        let (action, object) = kind.split_once('.').unwrap();
        [(&self.event_action, action), (&self.event_object, object)]
            .iter()
            .all(|(wanted, value)| *wanted == "*" || *wanted == value)
    }
}
