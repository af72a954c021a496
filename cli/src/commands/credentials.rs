//! `hookkeeper credentials`: creates a credential for a provider, and the digest that a receiver
//! accepts.

use crate::{
    Failure, Usage,
    called::as_called,
    connection::{Aws, STACK, parameter, stack},
    credential::{Accepted, Made, parameter_name, scheme},
    filter::provider,
    output::{Output, json_line, say},
};
use clap::Args;
use ingest::{LABEL_FORM, is_label};
use providers::{Provider, Scheme};
use std::collections::BTreeSet;

/// Generates a user name and a password, or a URL key, for each provider, and prints a deployment with all parameters.
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
    /// Output format. For json, a line for each provider, with the template's parameter and its value
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
        let scheme = self.scheme(provider);
        let Some(label) = &self.drop else {
            let accepted = if self.add {
                self.accepted_now(provider).await?
            } else {
                Accepted::default()
            };
            return Made::new(provider, scheme, accepted, self.label.as_deref());
        };
        let left = without(self.accepted_now(provider).await?, label)?;
        Ok(Made {
            provider: provider.name,
            label: label.clone(),
            new: None,
            parameter: parameter_name(provider, scheme),
            value: left.checked_list(provider, scheme)?,
        })
    }

    fn scheme(&self, provider: &Provider) -> Scheme {
        if self.basic {
            Scheme::Basic
        } else {
            scheme(provider)
        }
    }

    async fn accepted_now(&self, provider: &Provider) -> Result<Accepted, Failure> {
        match &self.digests {
            Some(list) => Accepted::parse(list),
            None => Accepted::parse(&self.asked_of_the_stack(provider).await?),
        }
    }

    async fn asked_of_the_stack(&self, provider: &Provider) -> Result<String, Failure> {
        let stack = stack(&self.aws.configured().await?, &self.stack).await?;
        let name = parameter_name(provider, self.scheme(provider));
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
    made.iter().try_for_each(Made::print)?;
    let parameters = made
        .iter()
        .map(|made| format!("{}={}", made.parameter, made.value));
    let parameters: Vec<_> = parameters.collect();
    let (sam, ours) = (parameters.join(" "), parameters.join(" --set "));
    let deploy = as_called("cargo hookkeeper deploy");
    say!("Deploy the digests, from a release:\n\n  {deploy} --set {ours}\n")?;
    say!("or with the SAM CLI:\n\n  sam deploy --parameter-overrides {sam}")?;
    Ok(())
}

fn without(mut accepted: Accepted, label: &str) -> Result<Accepted, Failure> {
    let labels = accepted.labels();
    if !accepted.remove(label) {
        return Err(
            format!("no accepted credential has the label {label} (labels: {labels})").into(),
        );
    }
    if accepted.is_empty() {
        let why = "is the only credential: without it, the provider's receiver would be removed";
        return Err(format!("{label} {why}. Add another one first").into());
    }
    Ok(accepted)
}
