//! Options that select the events of a command.

use crate::{
    Failure,
    connection::Connection,
    span::{A_DAY, Span},
};
use clap::Args;
use models::Timestamp;
use providers::Provider;
use std::ops::Range;
use storage::{IndexEntry, Table};

/// Which events.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only events of this provider
    #[arg(long, value_parser = provider)]
    provider: Option<Provider>,
    /// Only events whose type has these words: deal, deal.updated, com.pipedrive.deal.updated
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,
    /// Only events of this subject, or of all subjects of a kind: deal/42, deal
    #[arg(long)]
    subject: Option<String>,
    /// Only events whose delivery was authenticated with the credential of this label
    #[arg(long, value_name = "LABEL")]
    credential: Option<String>,
}

/// Which events of which table.
#[derive(Args)]
pub(crate) struct Selection {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) filter: Filter,
    #[command(flatten)]
    span: Span,
}

impl Selection {
    /// Opens the table, and resolves the time span against the current time.
    pub(crate) async fn open(&self) -> Result<(Table, Range<Timestamp>), Failure> {
        let span = self.span.resolve(A_DAY)?;
        Ok((self.connection.table().await?, span))
    }
}

/// Parses the name of a provider.
pub(crate) fn provider(name: &str) -> Result<Provider, String> {
    let mut providers = providers::ALL.into_iter();
    let found = providers.find(|provider| provider.name == name);
    found.ok_or_else(|| {
        let names = providers::ALL.map(|provider| provider.name);
        format!("expected one of {}", names.join(", "))
    })
}

/// The providers that an option selects: one, or all of them.
pub(crate) fn selected(only: Option<Provider>) -> impl Iterator<Item = Provider> + Clone {
    let providers = providers::ALL.into_iter();
    providers.filter(move |provider| only.is_none_or(|only| only.name == provider.name))
}

/// Provider of a source such as `pipedrive/7`.
pub(crate) fn provider_of(source: &str) -> Option<Provider> {
    provider(source.split('/').next().unwrap_or_default()).ok()
}

/// Parses a source: a provider with an account, like `pipedrive/7`, or all accounts of a provider.
pub(crate) fn source(text: &str) -> Result<String, String> {
    let is_source = provider_of(text).is_some() && !text.ends_with('/') && text.trim() == text;
    let why = "expected a provider with an account, like pipedrive/7, or a provider";
    is_source.then(|| text.to_owned()).ok_or(why.to_owned())
}

/// Parses a subject.
pub(crate) fn subject(text: &str) -> Result<String, String> {
    let is_subject = !text.is_empty() && text.trim() == text;
    let why = "expected a subject, like person/42";
    is_subject.then(|| text.to_owned()).ok_or(why.to_owned())
}

impl Filter {
    pub(crate) fn new(
        provider: Option<Provider>,
        r#type: Option<String>,
        subject: Option<String>,
    ) -> Self {
        Self {
            provider,
            r#type,
            subject,
            credential: None,
        }
    }

    /// Whether the filter selects an event.
    pub(crate) fn takes(&self, entry: &IndexEntry) -> bool {
        self.provider
            .is_none_or(|provider| is_of_provider(&entry.event.source, provider))
            && self
                .r#type
                .as_ref()
                .is_none_or(|words| has_words(&entry.r#type, words))
            && self
                .subject
                .as_ref()
                .is_none_or(|subject| is_within(&entry.event.subject, subject))
            && (self.credential.is_none() || self.credential == entry.credential)
    }
}

fn is_of_provider(source: &str, provider: Provider) -> bool {
    provider_of(source).is_some_and(|found| found.name == provider.name)
}

fn has_words(r#type: &str, words: &str) -> bool {
    format!(".{type}.").contains(&format!(".{words}."))
}

/// Whether a subject equals another one or is of that kind, or a source is one of a provider's.
pub(crate) fn is_within(subject: &str, kind: &str) -> bool {
    let rest = subject.strip_prefix(kind);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::EventKey;

    #[test]
    fn a_filter_takes_whole_words() {
        let event = EventKey {
            source: "pipedrive/7".to_owned(),
            subject: "deal/42".to_owned(),
            time: Timestamp::from_epoch(1_795_255_200).unwrap(),
            id: "id".to_owned(),
        };
        let entry = IndexEntry {
            key: (&event).into(),
            event,
            r#type: "com.pipedrive.deal.updated".to_owned(),
            recorded: Timestamp::from_epoch(1_795_255_200).unwrap(),
            credential: None,
            channel: None,
            eventid: None,
        };
        let takes = |provider: Option<&str>, kind: Option<&str>, subject: Option<&str>| {
            let provider = provider.map(|name| super::provider(name).unwrap());
            Filter {
                provider,
                r#type: kind.map(Into::into),
                subject: subject.map(Into::into),
                credential: None,
            }
            .takes(&entry)
        };
        assert!(
            takes(None, None, None)
                && takes(Some("pipedrive"), Some("deal.updated"), Some("deal/42"))
        );
        assert!(
            takes(None, Some("com.pipedrive.deal.updated"), Some("deal"))
                && takes(None, Some("updated"), None)
        );
        assert!(!takes(Some("closer"), None, None) && !takes(None, Some("update"), None));
        assert!(!takes(None, None, Some("deal/4")) && !takes(None, None, Some("dea")));
    }
}
