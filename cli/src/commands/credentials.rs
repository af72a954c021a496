//! `hookkeeper credentials`: creates a credential for a provider, and the digest that a receiver
//! accepts.

use crate::{
    Failure, Usage,
    connection::{Aws, STACK, parameter, stack},
    filter::provider,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use hookkeeper::template::logical_name;
use ingest::Authenticator;
use providers::{Provider, Scheme};
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
}

fn label(argument: &str) -> Result<String, String> {
    let is_label = argument
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if argument.is_empty() || !is_label {
        return Err("expected 1 to 32 characters of a-z, 0-9 and -".to_owned());
    }
    Ok(argument.to_owned())
}

/// Accepted credentials: labels, and digests in hexadecimal.
type Accepted = Vec<(String, String)>;

/// A new credential.
struct New {
    /// What its digest is of.
    secret: String,
    /// What a user pastes into the provider's settings.
    to_paste: String,
}

impl New {
    fn key() -> Result<Self, Failure> {
        let secret = random(32)?;
        let to_paste = format!("the end of the URL   ?key={secret}");
        Ok(Self { secret, to_paste })
    }

    fn basic() -> Result<Self, Failure> {
        let user = random(16)?;
        let password = random(32)?;
        Ok(Self {
            secret: format!("{user}:{password}"),
            to_paste: format!("user name   {user}\n  password    {password}"),
        })
    }
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
        let mut printed = Vec::new();
        let mut parameters = Vec::new();
        for provider in &self.providers {
            let (to_paste, accepted) = self.credential(provider).await?;
            let name = provider.name;
            printed.extend(to_paste.map(|to_paste| {
                format!(
                    "Credentials for the settings of {name} (not shown again):\n\n  {to_paste}\n"
                )
            }));
            parameters.push(self.parameter_with(provider, &accepted)?);
        }
        let parameters = parameters.join(" ");
        printed.push(format!(
            "Deploy the digests:\n\n  sam deploy --parameter-overrides {parameters}"
        ));
        println!("{}", printed.join("\n"));
        Ok(())
    }

    /// Generates a credential, if none is to be dropped. Returns what a user pastes into the
    /// provider's settings, and the credentials that the receiver is to accept.
    async fn credential(&self, provider: &Provider) -> Result<(Option<String>, Accepted), Failure> {
        if let Some(label) = &self.drop {
            let left = without(self.accepted_now(provider).await?, label)?;
            return Ok((None, left));
        }
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
        let New { secret, to_paste } = if self.is_key(provider) {
            New::key()?
        } else {
            New::basic()?
        };
        accepted.push((label, hex::encode(Sha256::digest(secret))));
        Ok((Some(to_paste), accepted))
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

    /// The template's parameter with its value, validated as the function validates it.
    fn parameter_with(&self, provider: &Provider, accepted: &Accepted) -> Result<String, Failure> {
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
        Ok(format!("{}={list}", self.parameter(provider)))
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
