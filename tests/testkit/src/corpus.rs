//! Corpus of recorded third-party webhooks.
//!
//! The corpus is not in this repository. `WEBHOOK_CORPUS` names its folder (an absolute path, or
//! relative to the root of the workspace). The folder has an `INDEX.tsv`. The columns `file`,
//! `provider`, `version`, `entity`, `action` and `fidelity` are used; `version`, `entity` and
//! `action` have the words of the provider. Without the variable, a test that needs the corpus
//! prints a message and checks nothing. With it, a missing file fails the test.

use crate::{provider, workspace};
use models::{Delivery, Event, ParseError, Timestamp};
use std::{collections::HashMap, env, fs, path::Path};

/// A body and its row of the index.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name of its file.
    pub file: String,
    /// Name of its provider.
    pub provider: String,
    /// Version of the provider's payload, and its origin.
    pub version: String,
    /// Object of the event.
    pub entity: String,
    /// Action on the object.
    pub action: String,
    /// Body as it was sent.
    pub body: Vec<u8>,
    fidelity: String,
}

/// The corpus, where there is one.
#[must_use]
pub fn rows() -> Option<Vec<Row>> {
    let Some(folder) = env::var_os("WEBHOOK_CORPUS").map(workspace) else {
        println!("WEBHOOK_CORPUS is not set: nothing is checked here");
        return None;
    };
    let index = String::from_utf8(read(&folder.join("INDEX.tsv"))).expect("INDEX.tsv is UTF-8");
    let mut lines = index.lines();
    let columns = lines.next().expect("INDEX.tsv has a heading");
    let columns: Vec<_> = columns.split('\t').collect();
    let mut rows = Vec::new();
    for line in lines {
        let mut values: HashMap<_, _> = columns.iter().copied().zip(line.split('\t')).collect();
        let mut take = |name| {
            values
                .remove(name)
                .expect("INDEX.tsv has the column")
                .to_owned()
        };
        let file = take("file");
        rows.push(Row {
            body: read(&folder.join(&file)),
            provider: take("provider"),
            version: take("version"),
            entity: take("entity"),
            action: take("action"),
            fidelity: take("fidelity"),
            file,
        });
    }
    assert!(!rows.is_empty(), "INDEX.tsv lists nothing");
    Some(rows)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Row {
    /// Whether it is from a documentation and cannot have been sent.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.file.rsplit('.').next() == Some("txt")
    }

    /// Whether its values have the types that the provider sends: they are neither masked nor
    /// written by hand.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        let changed = ["NOT wire faithful", "hand-masked", "unit test", "malformed"];
        !self.is_malformed() && !changed.iter().any(|word| self.fidelity.contains(word))
    }

    /// The type of its events, and their number: `status x2` are two.
    #[must_use]
    pub fn expected(&self) -> (String, usize) {
        let action = self.action.split([' ', '(']).next().unwrap_or_default();
        let count = self
            .action
            .split_once(" x")
            .map_or(1, |(_, count)| count.parse().unwrap());
        let object = match &*self.entity {
            "leads" => "lead",
            "contacts" => "contact",
            "contacts(company)" => "company",
            "customers" => "customer",
            "catalogs" => "catalog_element",
            own => own,
        };
        let action = match action {
            "add" | "added" | "create" => "created",
            "change" | "update" => "updated",
            "delete" => "deleted",
            "restore" => "restored",
            "status" => "status_changed",
            "responsible" => "responsible_changed",
            "note" => "note_added",
            "period" => "period_changed",
            own => own,
        };
        let prefix = if self.provider == "closer" {
            "app"
        } else {
            "com"
        };
        (
            format!("{prefix}.{}.{object}.{action}", self.provider),
            count,
        )
    }

    /// Whether its events carry a time in a known time zone. These of amoCRM do not: the digital
    /// pipeline, a delete without fields, and notes of 2017.
    #[must_use]
    pub fn has_a_time(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body)
            .replace("%5B", "[")
            .replace("%5D", "");
        let mut fields = body.split('&').filter_map(|pair| pair.split_once('='));
        self.provider != "amocrm" || fields.any(|(name, value)| is_time(name, value))
    }

    fn delivery(&self, body: &[u8]) -> Delivery {
        let arrival = Timestamp::parse("2030-01-01T00:00:00Z").unwrap();
        let mut delivery = Delivery::new(body.to_vec(), arrival, &self.file);
        delivery.origin.content_type = Some(self.content_type().to_owned());
        delivery
    }

    /// The content type that its provider sends.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        if self.provider == "amocrm" {
            "application/x-www-form-urlencoded"
        } else {
            "application/json"
        }
    }

    /// Parses another body with the parser of its provider.
    ///
    /// # Errors
    /// The error of the parser.
    pub fn read(&self, body: &[u8]) -> Result<Vec<Event>, ParseError> {
        let items = (provider(&self.provider).parse)(&self.delivery(body))?;
        items.into_iter().collect()
    }
}

/// Whether a field of a form is the time of an event.
fn is_time(name: &str, value: &str) -> bool {
    let path: Vec<_> = name.split('[').collect();
    let ([_, _, _, field] | [_, _, _, "note", field]) = path[..] else {
        return false;
    };
    ["updated_at", "last_modified", "created_at"].contains(&field)
        && value.len() == 10
        && value.bytes().all(|byte| byte.is_ascii_digit())
}
