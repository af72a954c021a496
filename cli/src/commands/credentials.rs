//! `hookkeeper credentials`: creates a credential for a provider, and the digest that a receiver
//! accepts.

use crate::{
    Failure, Usage,
    connection::{Aws, STACK, parameter, stack},
    filter::provider,
    output::{Output, json_line, say},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use hookkeeper::template::logical_name;
use ingest::{Authenticator, LABEL_FORM, is_label};
use providers::{Provider, Scheme};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, iter};
use storage::budget::now;

/// Generates a user name and a password, or a URL key, for each provider, and prints one `sam deploy` with all parameters.
///
/// They are printed once and stored nowhere. Only their SHA-256 digests are deployed, each with a label that logs and
/// metrics contain.
///
/// Example: cargo hookkeeper credentials pipedrive amocrm closer
#[derive(Args)]
pub(crate) struct Credentials {
    /// Providers that send the credentials
    #[arg(value_name = "PROVIDER", value_parser = provider, required = true)]
    providers: Vec<Provider>,
    /// Generate a user name and a password, also for a provider that would get a URL key
    #[arg(long)]
    basic: bool,
    /// Label of the new credential: 1 to 32 characters of a-z, 0-9 and - [default: the date]
    #[arg(long, conflicts_with = "drop", value_parser = label)]
    label: Option<String>,
    /// Add the new credential to the accepted ones, which stay accepted
    #[arg(long, conflicts_with = "drop")]
    add: bool,
    /// Generate no credential, but remove the accepted one with this label
    #[arg(long, value_name = "LABEL")]
    drop: Option<String>,
    /// Accepted credentials as label:digest[,label:digest] [default: the parameter of the stack]
    #[arg(long, value_name = "LIST")]
    digests: Option<String>,
    /// Name of the stack
    #[arg(long, default_value = STACK)]
    stack: String,
    #[command(flatten)]
    aws: Aws,
    /// Output format. For json, a line for each provider, with the parameter for `sam deploy` and its value
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn label(argument: &str) -> Result<String, String> {
    if is_label(argument) {
        Ok(argument.to_owned())
    } else {
        Err(format!("expected {LABEL_FORM}"))
    }
}

/// Accepted credentials: labels, and digests in hexadecimal.
type Accepted = Vec<(String, String)>;

/// A new credential.
#[derive(Serialize)]
#[serde(untagged)]
enum New {
    Key { key: String },
    Basic { user: String, password: String },
}

impl New {
    fn key() -> Result<Self, Failure> {
        Ok(Self::Key { key: random(32)? })
    }

    fn basic() -> Result<Self, Failure> {
        Ok(Self::Basic {
            user: random(16)?,
            password: random(32)?,
        })
    }

    fn digest(&self) -> String {
        hex::encode(match self {
            Self::Key { key } => Sha256::digest(key),
            Self::Basic { user, password } => Sha256::digest(format!("{user}:{password}")),
        })
    }

    /// What a user pastes into the provider's settings.
    fn to_paste(&self) -> String {
        match self {
            Self::Key { key } => format!("the end of the URL   ?key={key}"),
            Self::Basic { user, password } => {
                format!("user name   {user}\n  password    {password}")
            }
        }
    }
}

/// What a provider's settings and the template get. Serialized as a line for programs.
#[derive(Serialize)]
struct Made {
    provider: &'static str,
    /// The label of the new credential, or of the one that was dropped.
    label: String,
    #[serde(flatten)]
    new: Option<New>,
    /// The template's parameter.
    parameter: String,
    value: String,
}

impl Credentials {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let names: BTreeSet<_> = self
            .providers
            .iter()
            .map(|provider| provider.name)
            .collect();
        if names.len() < self.providers.len() {
            return Err(Usage("a provider is named twice".to_owned()).into());
        }
        if self.digests.is_some() && self.providers.len() > 1 {
            return Err(Usage("--digests is the list of one provider".to_owned()).into());
        }
        // All of them before the first one is printed: an error must not leave half of a deployment.
        let mut made = Vec::new();
        for provider in &self.providers {
            made.push(self.make(provider).await?);
        }
        match self.output {
            Output::Json => made
                .iter()
                .try_for_each(|made| Ok(say!("{}", json_line(made)?)?)),
            Output::Table => print(&made),
        }
    }

    /// Generates a credential, or drops one.
    async fn make(&self, provider: &Provider) -> Result<Made, Failure> {
        let (label, new, accepted) = match &self.drop {
            Some(label) => {
                let left = without(self.accepted_now(provider).await?, label)?;
                (label.clone(), None, left)
            }
            None => self.add_new(provider).await?,
        };
        Ok(Made {
            provider: provider.name,
            label,
            new,
            parameter: self.parameter(provider),
            value: self.value(provider, &accepted)?,
        })
    }

    /// Generates a credential. Returns its label, and the credentials that the receiver is to accept.
    async fn add_new(
        &self,
        provider: &Provider,
    ) -> Result<(String, Option<New>, Accepted), Failure> {
        let mut accepted = if self.add {
            self.accepted_now(provider).await?
        } else {
            Accepted::new()
        };
        let label = self.label.clone();
        let label = label.unwrap_or_else(|| unused_label(&accepted));
        if accepted.iter().any(|(taken, _)| *taken == label) {
            return Err(format!(
                "the label {label} is already in use: choose another one with --label"
            )
            .into());
        }
        let new = if self.is_key(provider) {
            New::key()?
        } else {
            New::basic()?
        };
        accepted.push((label.clone(), new.digest()));
        Ok((label, Some(new), accepted))
    }

    fn is_key(&self, provider: &Provider) -> bool {
        provider.supports(Scheme::UrlKey) && !self.basic
    }

    /// Name of the template's parameter: `PipedriveCredentials`.
    fn parameter(&self, provider: &Provider) -> String {
        let kind = if self.is_key(provider) {
            "Keys"
        } else {
            "Credentials"
        };
        logical_name(provider.name, kind)
    }

    /// The value of the template's parameter, validated as the function validates it.
    fn value(&self, provider: &Provider, accepted: &Accepted) -> Result<String, Failure> {
        let entries = accepted
            .iter()
            .map(|(label, digest)| format!("{label}:{digest}"));
        let list = entries.collect::<Vec<_>>().join(",");
        let (credentials, keys) = if self.is_key(provider) {
            ("", &*list)
        } else {
            (&*list, "")
        };
        Authenticator::new(provider, credentials, keys)?;
        Ok(list)
    }

    async fn accepted_now(&self, provider: &Provider) -> Result<Accepted, Failure> {
        let list = match &self.digests {
            Some(list) => list.clone(),
            None => self.asked_of_the_stack(provider).await?,
        };
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let accepted = entries.map(|entry| {
            let (label, digest) = entry
                .split_once(':')
                .ok_or_else(|| format!("{entry} is not label:digest"))?;
            Ok((label.to_owned(), digest.to_owned()))
        });
        accepted.collect()
    }

    async fn asked_of_the_stack(&self, provider: &Provider) -> Result<String, Failure> {
        let stack = stack(&self.aws.configured().await?, &self.stack).await?;
        let name = self.parameter(provider);
        let list = parameter::<String>(&stack, &name).filter(|list| !list.is_empty());
        list.ok_or_else(|| {
            format!(
                "the stack {} has no {name}: there are no credentials to add to or to drop",
                self.stack
            )
            .into()
        })
    }
}

fn print(made: &[Made]) -> Result<(), Failure> {
    let with_new = made
        .iter()
        .filter_map(|made| Some((made, made.new.as_ref()?)));
    for (made, new) in with_new {
        let (provider, to_paste) = (made.provider, new.to_paste());
        say!("Credentials for the settings of {provider} (not shown again):\n\n  {to_paste}\n")?;
    }
    let parameters = made
        .iter()
        .map(|made| format!("{}={}", made.parameter, made.value));
    let parameters = parameters.collect::<Vec<_>>().join(" ");
    say!("Deploy the digests:\n\n  sam deploy --parameter-overrides {parameters}")?;
    Ok(())
}

fn without(accepted: Accepted, label: &str) -> Result<Accepted, Failure> {
    let labels = accepted
        .iter()
        .map(|(label, _)| &**label)
        .collect::<Vec<_>>()
        .join(", ");
    let (dropped, left): (Accepted, Accepted) =
        accepted.into_iter().partition(|(taken, _)| taken == label);
    if dropped.is_empty() {
        return Err(
            format!("no accepted credential has the label {label} (labels: {labels})").into(),
        );
    }
    if left.is_empty() {
        let why = "is the only credential: without it, the provider's receiver would be removed";
        return Err(format!("{label} {why}. Add another one first").into());
    }
    Ok(left)
}

/// Today's date, with a number if that label is already used.
fn unused_label(accepted: &Accepted) -> String {
    let today = now().day();
    let labels = iter::once(today.clone()).chain((2..).map(|count| format!("{today}-{count}")));
    let mut unused = labels.filter(|label| accepted.iter().all(|(taken, _)| taken != label));
    unused.next().unwrap_or_default()
}

/// Generates `bytes` random bytes, as text of `A-Za-z0-9_-`.
fn random(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| format!("the system has no random bytes ({error})"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
