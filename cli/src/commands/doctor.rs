//! `hookkeeper doctor`: checks everything that can be checked from this machine.

mod clock;
mod credentials;
mod endpoint;
mod expected;
mod finding;
mod queues;
mod stack;
mod table;
mod webhooks;

use crate::{
    Failure,
    connection::{self, Connection, output},
    http::{Credential, Http},
    output::Output,
};
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_cloudformation::types::Stack;
use clap::Args;
use endpoint::Endpoint;
use finding::{Finding, Report};
use hookkeeper::{
    dev::{TABLE, User},
    template::logical_name,
};
use providers::Provider;
use std::time::Duration;

/// Checks the stack, the table, the queues, the webhooks, the URLs and the clock, and gives advice for each failed check.
///
/// A URL gets a GET, and a POST with a body and no credentials. With an environment variable like HOOKKEEPER_PIPEDRIVE
/// (USER:PASSWORD or a key), or --credential, it also gets an empty POST with the credential. None of them is stored.
///
/// Example: cargo hookkeeper doctor --credential closer=-
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    connection: Connection,
    /// Port of the receivers of `cargo dev`
    #[arg(long, value_name = "PORT", default_value_t = 9000, requires = "local")]
    gateway_port: u16,
    /// Credential of a provider, which is asked for: PROVIDER=- (can be repeated). Also PROVIDER=USER:PASSWORD or
    /// PROVIDER=KEY, but what is on a command line is in the shell's history and in the list of processes
    #[arg(long, value_name = "PROVIDER=SECRET", value_parser = endpoint::credential)]
    credential: Vec<(Provider, Credential)>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Stack, or the reason why it cannot be described.
type Asked = Result<Stack, &'static str>;

/// Timeout of an AWS operation, with all attempts.
const PATIENCE: Duration = Duration::from_secs(20);

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.connection.check_configuration().await?;
        let sdk = impatient(&self.connection.sdk().await);
        let http = Http::new();
        let mut report = Report::new(self.output);
        let (stack, findings) = stack::check(&sdk, &self.connection).await;
        report.say(findings)?;
        report.say(table::check(&sdk, self.table(&stack), self.connection.local).await)?;
        report.say(queues::check(&sdk, &stack).await)?;
        report.say(webhooks::check(&sdk, self.table(&stack), &stack).await)?;
        let mut ahead = None;
        for provider in providers::ALL {
            if let Ok(stack) = &stack {
                report.say(credentials::check(stack, &provider))?;
            }
            let shown = self.shown(&provider)?;
            let (finding, seen) = match self.endpoint(provider, shown, &stack) {
                Ok(endpoint) => endpoint.check(&http).await,
                Err(why) => (Finding::skip(provider.name, why), None),
            };
            report.say([finding])?;
            ahead = ahead.or(seen);
        }
        report.say([clock::check(&http, &sdk, ahead).await])?;
        report.end()
    }

    /// Name of the table, or the reason why it is unknown.
    fn table(&self, stack: &Asked) -> Result<String, &'static str> {
        match (self.connection.local, &self.connection.table) {
            (Some(_), _) => Ok(TABLE.to_owned()),
            (None, Some(table)) => Ok(table.clone()),
            (None, None) => output(stack.as_ref().map_err(|why| *why)?, "TableName")
                .ok_or("the stack has no output for it"),
        }
    }

    /// Credential of a provider, if it is known.
    fn shown(&self, provider: &Provider) -> Result<Option<Credential>, Failure> {
        let given = self
            .credential
            .iter()
            .rev()
            .find(|(named, _)| named.name == provider.name);
        match (given, self.connection.local) {
            (Some((_, shown)), _) => Ok(Some(shown.clone())),
            (None, Some(_)) => Ok(Some(Credential::Basic(
                User::from_env()?.credentials().to_owned(),
            ))),
            (None, None) => by_environment(provider),
        }
    }

    /// URL of a provider, or the reason why there is none.
    fn endpoint(
        &self,
        provider: Provider,
        shown: Option<Credential>,
        stack: &Asked,
    ) -> Result<Endpoint, &'static str> {
        let is_local = self.connection.local.is_some();
        let url = if is_local {
            format!("http://127.0.0.1:{}/{}", self.gateway_port, provider.name)
        } else {
            let stack = stack.as_ref().map_err(|why| *why)?;
            output(stack, &logical_name(provider.name, "Url"))
                .ok_or("the stack does not have this provider")?
        };
        Ok(Endpoint {
            provider,
            url,
            shown,
            is_local,
        })
    }
}

/// Credential in the environment variable `HOOKKEEPER_<PROVIDER>`.
fn by_environment(provider: &Provider) -> Result<Option<Credential>, Failure> {
    let variable = format!("HOOKKEEPER_{}", provider.name.to_uppercase());
    let Some(secret) = connection::variable(&variable) else {
        return Ok(None);
    };
    let shown = Credential::for_provider(provider, &secret);
    let shown = shown.map_err(|error| format!("in {variable}, {error}"))?;
    Ok(Some(shown))
}

/// Sets a timeout for AWS operations, so that the command always ends.
fn impatient(sdk: &SdkConfig) -> SdkConfig {
    let timeout = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
    sdk.to_builder().timeout_config(timeout).build()
}
