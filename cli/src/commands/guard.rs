//! `hookkeeper guard`: looks at the webhooks of the accounts, and creates them again, as the
//! function does.

use crate::{
    Failure, Held, Usage,
    connection::Connection,
    filter::provider,
    managed_account::{
        AccountLine, api, credential_of_user, default_api_url, refused, sentence, token,
    },
    output::{Output, json_line, say},
    secret::secret,
    signal::Stop,
};
use clap::Args;
use guardian::{Client, DOUBT, Pass, Report, Secret, Target, secrets};
use providers::{Provider, api::Access};
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
    /// Provider of the accounts [default: all of the stack; with --url, the one whose API token is set]
    #[arg(value_parser = provider)]
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

impl Guard {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let table = self.connection.table().await?;
        loop {
            let mut open = 0;
            // A rotation between two passes changes them.
            for target in &self.targets().await? {
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
            let shown = AccountLine {
                provider: target.provider.name,
                account: &target.id,
                line,
            };
            match self.output {
                Output::Json => say!("{}", json_line(&shown)?)?,
                Output::Table => say!("{}  {}", target.account(), sentence(line))?,
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
                let mut targets = targets?;
                targets.retain(|target| {
                    let mut only = self.provider.iter();
                    only.all(|only| only.name == target.provider.name)
                });
                if targets.is_empty() {
                    let why = "has no such account: `hookkeeper register` adds one";
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
        let given = self.api_url.clone();
        let api_url = match given.or(self.account.as_deref().map(api.base_url)) {
            Some(api_url) => api_url,
            None => default_api_url(&provider, api)?,
        };
        let api_token = match token(&provider) {
            Some(token) => token,
            None => secret("-", &format!("API token of {}", provider.name))?,
        };
        let access = Access::new(&api_url, &api_token)?;
        let account = Client::new(api.limits).send((api.account)(&access)).await;
        let account = account.map_err(|error| refused(&provider, &error))?;
        let credential = credential_of_user()?;
        let credential = credential.ok_or("set HOOKKEEPER_USER or HOOKKEEPER_KEY")?;
        let (webhook_url, basic) = credential.at(url);
        let (user, password) = basic.map(|basic| (basic.user, basic.password)).unzip();
        let secret = Secret {
            api_token,
            api_url: Some(api_url),
            webhook_url,
            user,
            password,
        };
        Ok(Target::new(provider, api, &account.id, secret)?)
    }

    fn provider(&self) -> Result<Provider, Usage> {
        if let Some(provider) = self.provider {
            return Ok(provider);
        }
        let providers = providers::ALL.into_iter();
        let with_token: Vec<_> = providers
            .filter(|provider| token(provider).is_some())
            .collect();
        match with_token[..] {
            [provider] => Ok(provider),
            _ => Err(Usage("which PROVIDER is it?".to_owned())),
        }
    }
}
