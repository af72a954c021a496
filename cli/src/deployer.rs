//! How a receiver gets the credentials that it accepts: by an update of its stack, or by the user.

use crate::{
    Failure,
    connection::{output, parameter, stack},
    credential::{Accepted, PlainCredential, parameter_name, scheme},
    http::{Credential, Http, Request, check_secrecy},
    stack_update::{set_parameter, update_samconfig},
};
use aws_config::SdkConfig;
use hookkeeper::template::logical_name;
use providers::Provider;
use std::time::Duration;

/// Number of probes that a receiver answers before a webhook uses a credential.
const PROBES: u32 = 20;
/// Waits between two probes of which the first was refused: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How a receiver gets its credentials.
#[derive(Debug)]
pub(crate) enum Deployer {
    /// A stack whose parameter is updated.
    Stack { sdk: Box<SdkConfig>, name: String },
    /// The user deploys them to this URL.
    User { url: String },
}

impl Deployer {
    /// URL of the receiver, without a key. `None`: the stack does not have this provider.
    pub(crate) async fn url(&self, provider: &Provider) -> Result<Option<String>, Failure> {
        match self {
            Self::User { url } => Ok(Some(url.clone())),
            Self::Stack { sdk, name } => {
                let stack = Box::pin(stack(sdk, name)).await?;
                Ok(output(&stack, &logical_name(provider.name, "Url")))
            }
        }
    }

    /// The label of an accepted credential. `None`: it is not accepted, or not known to be.
    pub(crate) async fn label_of(
        &self,
        provider: &Provider,
        credential: &PlainCredential,
    ) -> Result<Option<String>, Failure> {
        let accepted = self.accepted(provider).await?;
        Ok(accepted.label_of(credential).map(str::to_owned))
    }

    /// Lets the receiver accept a new credential. Returns its label, if it is known.
    pub(crate) async fn accept(
        &self,
        provider: &Provider,
        new: &PlainCredential,
    ) -> Result<Option<String>, Failure> {
        let mut accepted = self.accepted(provider).await?;
        if let Some(label) = accepted.label_of(new) {
            return Ok(Some(label.to_owned()));
        }
        let label = accepted.unused_label();
        accepted.add(&label, new.digest())?;
        if let Self::User { url } = self {
            return ask(provider, url, new, &accepted).await;
        }
        self.set(provider, &accepted).await?;
        Ok(Some(label))
    }

    /// Removes the credential with a label from those that the receiver accepts.
    pub(crate) async fn drop(&self, provider: &Provider, label: &str) -> Result<(), Failure> {
        let mut accepted = self.accepted(provider).await?;
        if accepted.remove(label) {
            self.set(provider, &accepted).await?;
        }
        Ok(())
    }

    async fn accepted(&self, provider: &Provider) -> Result<Accepted, Failure> {
        let Self::Stack { sdk, name } = self else {
            return Ok(Accepted::default());
        };
        let stack = Box::pin(stack(sdk, name)).await?;
        let list: Option<String> = parameter(&stack, &parameter_name(provider, scheme(provider)));
        Accepted::parse(&list.unwrap_or_default())
    }

    async fn set(&self, provider: &Provider, accepted: &Accepted) -> Result<(), Failure> {
        let Self::Stack { sdk, name } = self else {
            return Ok(());
        };
        let scheme = scheme(provider);
        let key = parameter_name(provider, scheme);
        let value = if accepted.is_empty() {
            String::new()
        } else {
            accepted.checked_list(provider, scheme)?
        };
        Box::pin(set_parameter(sdk, name, &key, &value)).await?;
        if let Some(notice) = update_samconfig(&key, &value)? {
            eprintln!("{notice}");
        }
        Ok(())
    }
}

/// Asks the user to deploy a digest, if the receiver does not accept its credential.
async fn ask(
    provider: &Provider,
    url: &str,
    new: &PlainCredential,
    digest: &Accepted,
) -> Result<Option<String>, Failure> {
    if !is_accepted(&Http::new(), provider, url, &new.shown()).await? {
        let key = parameter_name(provider, scheme(provider));
        let list = digest.list();
        eprintln!("{url} does not accept the credential. Deploy its digest beside the others:");
        eprintln!("\n  {key}={list}\n\nWaiting for it. Ctrl-C ends this.");
    }
    Ok(None)
}

/// Sends probes with a credential until all in a row were answered 200.
///
/// Execution environments from before an update may still answer some of them.
pub(crate) async fn probe(
    provider: &Provider,
    url: &str,
    shown: &Credential,
) -> Result<(), Failure> {
    let http = Http::new();
    let mut wait = FIRST_WAIT;
    let mut answered = 0;
    while answered < PROBES {
        if is_accepted(&http, provider, url, shown).await? {
            answered += 1;
        } else {
            answered = 0;
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
    }
    Ok(())
}

async fn is_accepted(
    http: &Http,
    provider: &Provider,
    url: &str,
    shown: &Credential,
) -> Result<bool, Failure> {
    check_secrecy(url, Some(shown))?;
    let request = Request {
        method: "POST",
        url,
        shown: Some(shown),
        headers: &[],
        body: b"",
    };
    let answer = http.send(request, provider.timeout).await;
    Ok(answer.status == Ok(200))
}
