//! Credentials of a provider: a new one, and the list of accepted ones in a parameter of the
//! template.

use crate::{Failure, connection::parameter, http::Credential, output::say};
use aws_sdk_cloudformation::types::Stack;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use form_urlencoded::byte_serialize;
use guardian::secrets::Secret;
use hookkeeper::template::logical_name;
use ingest::Authenticator;
use providers::{Provider, Scheme, api::Basic};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{io, iter};
use storage::budget::now;

/// A credential in plain text.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum PlainCredential {
    Key { key: String },
    Basic { user: String, password: String },
}

/// What a provider's settings and the template get. Serialized as a line for programs.
#[derive(Serialize)]
pub(crate) struct Made {
    pub(crate) provider: &'static str,
    /// The label of the new credential, or of the one that was dropped.
    pub(crate) label: String,
    #[serde(flatten)]
    pub(crate) new: Option<PlainCredential>,
    /// The template's parameter.
    pub(crate) parameter: String,
    pub(crate) value: String,
}

/// Accepted credentials of one scheme: labels, and digests in hexadecimal.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Vec<(String, String)>);

impl PlainCredential {
    /// Generates a credential.
    pub(crate) fn new(scheme: Scheme) -> Result<Self, Failure> {
        Ok(match scheme {
            Scheme::UrlKey => Self::Key { key: random(32)? },
            Scheme::Basic => Self::Basic {
                user: random(16)?,
                password: random(32)?,
            },
        })
    }

    /// No credential: the URL of a webhook is exactly that of the receiver.
    pub(crate) fn none() -> Self {
        Self::Basic {
            user: String::new(),
            password: String::new(),
        }
    }

    /// Parses `user:password`.
    pub(crate) fn parse_basic(text: &str) -> Result<Self, Failure> {
        let (user, password) = text.split_once(':').ok_or("expected USER:PASSWORD")?;
        Ok(Self::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The credential of a registered webhook. `None`: it has none.
    pub(crate) fn from_secret(secret: &Secret) -> Option<Self> {
        if let Some((user, password)) = secret.user.clone().zip(secret.password.clone()) {
            return Some(Self::Basic { user, password });
        }
        let (_, query) = secret.webhook_url.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, key) = pairs.find(|(name, _)| name == "key")?;
        let key = key.into_owned();
        Some(Self::Key { key })
    }

    /// The URL to register for a receiver, and what a provider sends beside it.
    fn at(&self, receiver: &str) -> (String, Option<Basic>) {
        match self {
            Self::Key { key } => {
                let key: String = byte_serialize(key.as_bytes()).collect();
                (format!("{receiver}?key={key}"), None)
            }
            Self::Basic { user, password } => {
                let (user, password) = (user.clone(), password.clone());
                (receiver.to_owned(), Some(Basic { user, password }))
            }
        }
    }

    /// The secret of an account whose webhook sends this to a receiver.
    pub(crate) fn secret(&self, receiver: &str, api_token: String, api_url: String) -> Secret {
        let (webhook_url, basic) = self.at(receiver);
        let (user, password) = basic.map(|basic| (basic.user, basic.password)).unzip();
        Secret {
            api_token,
            api_url: Some(api_url),
            webhook_url,
            user,
            password,
        }
    }

    pub(crate) fn digest(&self) -> String {
        hex::encode(match self {
            Self::Key { key } => Sha256::digest(key),
            Self::Basic { user, password } => Sha256::digest(format!("{user}:{password}")),
        })
    }

    /// The credential as a request shows it.
    pub(crate) fn shown(&self) -> Credential {
        match self {
            Self::Key { key } => Credential::Key(key.clone()),
            Self::Basic { user, password } => Credential::Basic(format!("{user}:{password}")),
        }
    }

    /// What a user pastes into the provider's settings.
    pub(crate) fn to_paste(&self) -> String {
        match self {
            Self::Key { key } => format!("the end of the URL   ?key={key}"),
            Self::Basic { user, password } => {
                format!("user name   {user}\n  password    {password}")
            }
        }
    }
}

impl Made {
    /// Generates a credential, to be accepted beside others. Without a label, it gets the date.
    pub(crate) fn new(
        provider: &Provider,
        scheme: Scheme,
        mut accepted: Accepted,
        label: Option<&str>,
    ) -> Result<Self, Failure> {
        let label = label.map_or_else(|| accepted.unused_label(), str::to_owned);
        let new = PlainCredential::new(scheme)?;
        accepted.add(&label, new.digest())?;
        Ok(Self {
            provider: provider.name,
            label,
            new: Some(new),
            parameter: parameter_name(provider, scheme),
            value: accepted.checked_list(provider, scheme)?,
        })
    }

    /// Prints the new credential, if there is one, for a person.
    pub(crate) fn print(&self) -> io::Result<()> {
        let Some(new) = &self.new else {
            return Ok(());
        };
        let (provider, to_paste) = (self.provider, new.to_paste());
        say!("Credentials for the settings of {provider} (not shown again):\n\n  {to_paste}\n")
    }
}

impl Accepted {
    /// Parses `label:digest[,label:digest]`.
    pub(crate) fn parse(list: &str) -> Result<Self, Failure> {
        let entries = list.split(',').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        let accepted = entries.map(|entry| match entry.split_once(':') {
            Some((label, digest)) => Ok((label.to_owned(), digest.to_owned())),
            None => Err(format!("{entry} is not label:digest").into()),
        });
        accepted.collect::<Result<_, _>>().map(Self)
    }

    /// Adds the digest of a credential.
    pub(crate) fn add(&mut self, label: &str, digest: String) -> Result<(), Failure> {
        if self.0.iter().any(|(taken, _)| taken == label) {
            return Err(format!(
                "the label {label} is already in use: choose another one with --label"
            )
            .into());
        }
        self.0.push((label.to_owned(), digest));
        Ok(())
    }

    /// Removes the entry with a label. Returns whether there was one.
    pub(crate) fn remove(&mut self, label: &str) -> bool {
        let count = self.0.len();
        self.0.retain(|(taken, _)| taken != label);
        self.0.len() < count
    }

    /// The label of a credential. `None`: it is not accepted.
    pub(crate) fn label_of(&self, credential: &PlainCredential) -> Option<&str> {
        let digest = credential.digest();
        let mut entries = self.0.iter();
        let (label, _) = entries.find(|(_, accepted)| *accepted == digest)?;
        Some(label)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn labels(&self) -> String {
        let labels: Vec<&str> = self.0.iter().map(|(label, _)| &**label).collect();
        labels.join(", ")
    }

    /// Today's date, with a number if that label is already used.
    pub(crate) fn unused_label(&self) -> String {
        let today = now().day();
        let labels = iter::once(today.clone()).chain((2..).map(|count| format!("{today}-{count}")));
        let mut unused = labels.filter(|label| self.0.iter().all(|(taken, _)| taken != label));
        unused.next().unwrap_or_default()
    }

    /// The value of the template's parameter.
    pub(crate) fn list(&self) -> String {
        let entries = self.0.iter();
        let entries: Vec<_> = entries
            .map(|(label, digest)| format!("{label}:{digest}"))
            .collect();
        entries.join(",")
    }

    /// The value of the template's parameter, validated as the function validates it.
    pub(crate) fn checked_list(
        &self,
        provider: &Provider,
        scheme: Scheme,
    ) -> Result<String, Failure> {
        let list = self.list();
        match scheme {
            Scheme::UrlKey => Authenticator::new(provider, "", &list)?,
            Scheme::Basic => Authenticator::new(provider, &list, "")?,
        };
        Ok(list)
    }
}

/// The scheme of a provider's own credential: a key in the URL if its settings have only a URL.
pub(crate) fn scheme(provider: &Provider) -> Scheme {
    if provider.supports(Scheme::UrlKey) {
        Scheme::UrlKey
    } else {
        Scheme::Basic
    }
}

/// Whether a stack accepts a credential of a provider.
pub(crate) fn has_credentials(provider: &Provider, stack: &Stack) -> bool {
    parameter_names(provider)
        .iter()
        .any(|name| parameter::<String>(stack, name).is_some_and(|value| !value.is_empty()))
}

/// Names of the template's parameters with a provider's credentials, one for each scheme.
pub(crate) fn parameter_names(provider: &Provider) -> [String; 2] {
    [Scheme::Basic, Scheme::UrlKey].map(|scheme| parameter_name(provider, scheme))
}

/// Name of the template's parameter: `PipedriveCredentials`.
pub(crate) fn parameter_name(provider: &Provider, scheme: Scheme) -> String {
    let kind = match scheme {
        Scheme::UrlKey => "Keys",
        Scheme::Basic => "Credentials",
    };
    logical_name(provider.name, kind)
}

/// Generates `bytes` random bytes, as text of `A-Za-z0-9_-`.
fn random(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| format!("the system has no random bytes ({error})"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
