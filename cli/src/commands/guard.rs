//! `hookkeeper guard`: looks at the webhooks of the accounts, and creates them again, as the
//! function does.

use crate::{
    Failure, Held, Usage,
    connection::Connection,
    filter::provider,
    managed_account::{AccountLine, api, credential_of_user, default_api_url, sentence, token},
    output::{Output, cell, json_line, say},
    secret::secret,
    signal::Stop,
    span::duration,
};
use clap::Args;
use guardian::{Client, DOUBT, Line, Pass, Report, Target, secrets};
use providers::{
    Provider,
    api::{Access, ApiError},
};
use std::time::Duration;
use storage::{Table, guardian::GuardError};
use tokio::time::sleep;

/// Time between two passes, as the function has it.
const INTERVAL: Duration = Duration::from_mins(15);

/// Looks at the webhooks of the accounts every 15 minutes until Ctrl-C, and creates those again that are gone.
///
/// What no webhook reported meanwhile is read back from the provider's API, as `heal` does.
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
    /// How long after an event its last retry may arrive [default: 5m for Pipedrive, 2h for amoCRM]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    horizon: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// An account that is watched.
enum Watched {
    Known(Target),
    /// The API does not tell the account of the token.
    Unknown(Provider, ApiError),
}

impl Guard {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let table = self.connection.table().await?;
        loop {
            let looked = tokio::select! {
                looked = self.look(&table) => looked,
                () = stop.arrived() => return Ok(()),
            };
            match looked {
                Ok(0) if self.once => return Ok(()),
                Ok(open) if self.once => {
                    return Err(format!("findings that are open: {open}").into());
                }
                Err(failure) if self.once || failure.is::<Usage>() => return Err(failure),
                // The next pass may succeed.
                Err(failure) => eprintln!("{}", cell(&failure.to_string())),
                Ok(_) => {}
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = stop.arrived() => return Ok(()),
            }
        }
    }

    /// Looks at each account. Returns the number of open findings.
    async fn look(&self, table: &Table) -> Result<usize, Failure> {
        let mut open = 0;
        // A rotation between two passes changes them.
        for target in self.targets().await? {
            let (provider, account, lines) = match target {
                Watched::Known(target) => {
                    let report = self.pass(table, &target).await?;
                    (target.provider, Some(target.id), report.lines)
                }
                Watched::Unknown(provider, error) => {
                    (provider, None, vec![Line::from_error(&error)])
                }
            };
            for line in &lines {
                self.say(&provider, account.as_deref(), line)?;
                open += usize::from(line.is_open());
            }
        }
        Ok(open)
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
            let horizon = self.horizon.unwrap_or(target.api.horizon);
            let backlog = self.connection.backlog().await?;
            pass.run(backlog.as_ref(), horizon).await
        };
        report.map_err(|error| match error {
            GuardError::Held(_) => Held(format!("{}: {error}", target.account())).into(),
            error => error.into(),
        })
    }

    fn say(&self, provider: &Provider, account: Option<&str>, line: &Line) -> Result<(), Failure> {
        let provider = provider.name;
        match self.output {
            Output::Json => {
                let shown = AccountLine {
                    provider,
                    account,
                    line,
                };
                say!("{}", json_line(&shown)?)?;
            }
            Output::Table => {
                let account = account.unwrap_or("?");
                say!("{provider}/{account}  {}", sentence(line))?;
            }
        }
        Ok(())
    }

    /// The accounts of the stack, or the one of the token.
    async fn targets(&self) -> Result<Vec<Watched>, Failure> {
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
                Ok(targets.into_iter().map(Watched::Known).collect())
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
    async fn target(&self, url: &str) -> Result<Watched, Failure> {
        let provider = self.provider()?;
        let api = api(&provider)?;
        let credential = credential_of_user()?.ok_or_else(|| {
            let why = "set HOOKKEEPER_USER or HOOKKEEPER_KEY to the webhook's credential";
            Usage(why.to_owned())
        })?;
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
        let account = match Client::new(api.limits).send((api.account)(&access)).await {
            Ok(account) => account,
            Err(error) => return Ok(Watched::Unknown(provider, error)),
        };
        let secret = credential.secret(url, api_token, api_url);
        let target = Target::new(provider, api, &account.id, secret)?;
        Ok(Watched::Known(target))
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
