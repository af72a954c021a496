//! `hookkeeper guard`: looks at the webhooks of the accounts, and creates them again, as the
//! function does.

use crate::{
    Failure, Held, Usage,
    connection::{Connection, variable},
    filter::provider,
    output::{Output, json_line, say},
    secret::secret,
    signal::Stop,
};
use clap::Args;
use form_urlencoded::byte_serialize;
use guardian::{Client, DOUBT, Line, Pass, Report, Secret, Target, secrets};
use providers::{
    Provider,
    api::{Access, Api},
};
use serde::Serialize;
use std::time::Duration;
use storage::{Table, guardian::GuardError};
use tokio::time::sleep;

/// Time between two passes, as the function has it.
const INTERVAL: Duration = Duration::from_mins(15);

/// Looks at the webhooks of the accounts every 15 minutes until Ctrl-C, and creates those again that are gone.
///
/// Of a stack, all accounts that `register` added. With --url, the account of the token.
///
/// Example: cargo hookkeeper guard --once
#[derive(Args)]
pub(crate) struct Guard {
    /// Provider of the account [default: the one whose API token is set]
    #[arg(value_parser = provider, requires = "url")]
    provider: Option<Provider>,
    /// URL of the webhook, without a stack. The API token is in PIPEDRIVE_API_TOKEN or AMOCRM_API_TOKEN, the credential
    /// in HOOKKEEPER_USER (USER:PASSWORD) or HOOKKEEPER_KEY
    #[arg(long)]
    url: Option<String>,
    /// Host of the account: example.amocrm.ru
    #[arg(long, requires = "url")]
    account: Option<String>,
    /// URL of the API [default: the provider's]
    #[arg(long, value_name = "URL", requires = "url")]
    api_url: Option<String>,
    /// Look once
    #[arg(long)]
    once: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// A finding as it is printed.
#[derive(Serialize)]
struct Shown<'a> {
    provider: &'a str,
    account: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

impl Guard {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let table = self.connection.table().await?;
        let targets = self.targets().await?;
        loop {
            let mut open = 0;
            for target in &targets {
                let report = tokio::select! {
                    report = self.pass(&table, target) => report?,
                    () = stop.arrived() => return Ok(()),
                };
                self.say(target, &report)?;
                open += report.lines.iter().filter(|line| line.is_open()).count();
            }
            match (self.once, open) {
                (true, 0) => return Ok(()),
                (true, open) => return Err(format!("findings that are open: {open}").into()),
                (false, _) => {}
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = stop.arrived() => return Ok(()),
            }
        }
    }

    async fn pass(&self, table: &Table, target: &Target) -> Result<Report, Failure> {
        let client = Client::new(target.api.limits);
        let pass = Pass {
            target,
            client: &client,
            table,
            doubt: DOUBT,
        };
        let report = if self.dry_run {
            pass.look().await
        } else {
            pass.repair().await
        };
        report.map_err(|error| match error {
            GuardError::Held(_) => Held(format!("{}: {error}", target.account())).into(),
            error => error.into(),
        })
    }

    fn say(&self, target: &Target, report: &Report) -> Result<(), Failure> {
        for line in &report.lines {
            let shown = Shown {
                provider: target.provider.name,
                account: &target.id,
                line,
            };
            match self.output {
                Output::Json => say!("{}", json_line(&shown)?)?,
                Output::Table => say!("{}  {line}", target.account())?,
            }
        }
        Ok(())
    }

    /// The accounts of the stack, or the one of the token.
    async fn targets(&self) -> Result<Vec<Target>, Failure> {
        match (&self.url, self.connection.described().await?) {
            (Some(url), None) => Ok(vec![self.target(url).await?]),
            (None, Some((sdk, stack))) => {
                let name = stack.stack_name.unwrap_or_default();
                let client = aws_sdk_ssm::Client::new(&sdk);
                let path = format!("/hookkeeper/{name}/");
                let targets = secrets::targets(&client, &path).await;
                let targets: Result<Vec<_>, _> = targets?.into_iter().collect();
                let targets = targets?;
                if targets.is_empty() {
                    let why = "has no account: `hookkeeper register` adds one";
                    return Err(format!("the stack {name} {why}").into());
                }
                Ok(targets)
            }
            (Some(_), Some(_)) => {
                let why = "--url needs --local or --table, which has the state of the account";
                Err(Usage(why.to_owned()).into())
            }
            (None, None) => {
                let why = "--local and --table need --url, the URL of the webhook";
                Err(Usage(why.to_owned()).into())
            }
        }
    }

    /// The account of the token.
    async fn target(&self, url: &str) -> Result<Target, Failure> {
        let provider = self.provider()?;
        let api = api(&provider)?;
        let api_url = self.api_url(&provider, api)?;
        let api_token = match variable(&token_name(&provider)) {
            Some(token) => token,
            None => secret("-", &format!("API token of {}", provider.name))?,
        };
        let access = Access::new(&api_url, &api_token)?;
        let account = Client::new(api.limits).send((api.account)(&access)).await?;
        let basic = variable("HOOKKEEPER_USER");
        let basic = basic.as_ref().and_then(|basic| basic.split_once(':'));
        let (user, password) = basic.unzip();
        let secret = Secret {
            api_token,
            api_url: Some(api_url),
            webhook_url: with_key(url, variable("HOOKKEEPER_KEY").as_deref()),
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
        };
        Ok(Target::new(provider, api, &account.id, secret)?)
    }

    fn provider(&self) -> Result<Provider, Usage> {
        if let Some(provider) = self.provider {
            return Ok(provider);
        }
        let providers = providers::ALL.into_iter();
        let has_token = |provider: &Provider| variable(&token_name(provider)).is_some();
        let with_token: Vec<_> = providers.filter(has_token).collect();
        match with_token[..] {
            [provider] => Ok(provider),
            _ => Err(Usage("which PROVIDER is it?".to_owned())),
        }
    }

    fn api_url(&self, provider: &Provider, api: &Api) -> Result<String, Usage> {
        match (&self.api_url, &self.account) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(account)) => Ok((api.base_url)(account)),
            (None, None) if provider.name == "pipedrive" => Ok((api.base_url)("")),
            (None, None) => {
                let why = "--account is the host of the account, such as example.amocrm.ru";
                Err(Usage(why.to_owned()))
            }
        }
    }
}

fn api(provider: &Provider) -> Result<&'static Api, Usage> {
    provider.api.ok_or_else(|| {
        let why = "has no API for its webhooks: its alarm is NoTrafficHours";
        Usage(format!("{} {why}", provider.name))
    })
}

/// The variable with the API token of a provider.
fn token_name(provider: &Provider) -> String {
    format!("{}_API_TOKEN", provider.name.to_uppercase())
}

/// The URL of a webhook with its key.
fn with_key(url: &str, key: Option<&str>) -> String {
    let Some(key) = key else {
        return url.to_owned();
    };
    let key: String = byte_serialize(key.as_bytes()).collect();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}key={key}")
}
