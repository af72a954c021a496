//! `hookkeeper credentials`: creates a credential for a provider, and the digest that a receiver
//! accepts.

use crate::{
    Failure,
    connection::{Aws, STACK, parameter, stack},
    filter::provider,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use hookkeeper::template::logical_name;
use ingest::Authenticator;
use providers::{Provider, Scheme};
use sha2::{Digest, Sha256};
use std::iter;
use storage::budget::now;

/// Generates a user name and a password, or a URL key, and prints the parameter for `sam deploy`.
///
/// They are printed once and stored nowhere. Only their SHA-256 digests are deployed, each with a label that logs and
/// metrics contain.
///
/// Example: cargo hookkeeper credentials pipedrive
#[derive(Args)]
pub(crate) struct Credentials {
    /// Provider that sends the credentials
    #[arg(value_parser = provider)]
    provider: Provider,
    /// Generate a user name and a password for a provider that would get a URL key
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

impl Credentials {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let Some(label) = &self.drop {
            let left = without(self.accepted_now().await?, label)?;
            println!("{}", self.deploy(&left)?);
            return Ok(());
        }
        let mut accepted = if self.add {
            self.accepted_now().await?
        } else {
            Accepted::new()
        };
        let label = self
            .label
            .clone()
            .unwrap_or_else(|| unused_label(&accepted));
        if accepted.iter().any(|(taken, _)| *taken == label) {
            return Err(format!(
                "the label {label} is already in use: choose another one with --label"
            )
            .into());
        }
        let (shown, to_paste) = if self.is_key() {
            let key = random(32)?;
            let to_paste = format!("the end of the URL   ?key={key}");
            (key, to_paste)
        } else {
            let user = random(16)?;
            let password = random(32)?;
            (
                format!("{user}:{password}"),
                format!("user name   {user}\n  password    {password}"),
            )
        };
        accepted.push((label, hex::encode(Sha256::digest(shown))));
        let deploy = self.deploy(&accepted)?;
        println!(
            "Credentials for the settings of {} (not shown again):\n\n  {to_paste}\n",
            self.provider.name
        );
        println!("{deploy}");
        Ok(())
    }

    fn is_key(&self) -> bool {
        self.provider.supports(Scheme::UrlKey) && !self.basic
    }

    /// Name of the template's parameter: `PipedriveCredentials`.
    fn parameter(&self) -> String {
        logical_name(
            self.provider.name,
            if self.is_key() { "Keys" } else { "Credentials" },
        )
    }

    /// Command that deploys these credentials. They are validated as the function validates them.
    fn deploy(&self, accepted: &Accepted) -> Result<String, Failure> {
        let list = accepted
            .iter()
            .map(|(label, digest)| format!("{label}:{digest}"))
            .collect::<Vec<_>>()
            .join(",");
        let (credentials, keys) = if self.is_key() {
            ("", &*list)
        } else {
            (&*list, "")
        };
        Authenticator::new(&self.provider, credentials, keys)?;
        Ok(format!(
            "Deploy the digests:\n\n  sam deploy --parameter-overrides {}={list}",
            self.parameter()
        ))
    }

    async fn accepted_now(&self) -> Result<Accepted, Failure> {
        let list = match &self.digests {
            Some(list) => list.clone(),
            None => self.asked_of_the_stack().await?,
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

    async fn asked_of_the_stack(&self) -> Result<String, Failure> {
        let stack = stack(&self.aws.configured().await?, &self.stack).await?;
        let name = self.parameter();
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
