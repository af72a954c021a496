//! An account of a provider whose webhook a command registers, rotates or unregisters.

use crate::{
    Failure, Held, Usage,
    connection::{Connection, causes, variable},
    credential::PlainCredential,
    deployer::Deployer,
    filter::provider,
    output::{Output, json_line, say, seconds},
    secret::secret,
    span::duration,
};
use aws_sdk_ssm::{
    Client as Ssm, error::ProvideErrorMetadata,
    operation::get_parameters_by_path::GetParametersByPathOutput, types::ParameterType,
};
use clap::Args;
use guardian::{
    Action, Client, Facts, Line, Pass,
    secrets::{Secret, Target, parameter},
};
use providers::{
    Provider,
    api::{Access, Account, Api, ApiError, Wanted, Webhook},
};
use serde::{Deserialize, Serialize};
use std::{pin::pin, time::Duration};
use storage::{
    Table,
    guardian::{Completeness, Guard, GuardError, Guardian, LEASE},
};
use tokio::time::timeout;

/// Error code of a parameter that does not exist.
const NOT_FOUND: &str = "ParameterNotFound";

/// The account, and where its state and its secret are.
#[derive(Args)]
pub(crate) struct AccountOptions {
    /// Provider of the webhook. The API token is in PIPEDRIVE_API_TOKEN or AMOCRM_API_TOKEN, or is asked for
    #[arg(value_parser = provider)]
    pub(crate) provider: Provider,
    /// Host of the account, like example.amocrm.ru or example.kommo.com (amoCRM only)
    #[arg(long)]
    account: Option<String>,
    /// URL of the API [default: the provider's]
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// URL of a receiver that is not in a stack. Its credential is in HOOKKEEPER_USER (USER:PASSWORD) or HOOKKEEPER_KEY,
    /// and the state is in the table of --local or --table
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How long after an event its last retry may arrive [default: 5m for Pipedrive, 2h for amoCRM]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    horizon: Option<Duration>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// An account with everything that is needed to change its webhook. It has the token.
pub(crate) struct ManagedAccount {
    pub(crate) provider: Provider,
    pub(crate) api: &'static Api,
    pub(crate) access: Access,
    pub(crate) client: Client,
    pub(crate) account: Account,
    /// Name of its state, and source of its events: `<provider>/<account id>`.
    pub(crate) name: String,
    pub(crate) table: Table,
    pub(crate) deployer: Deployer,
    pub(crate) horizon: Duration,
    token: String,
    api_url: String,
    secrets: Option<Secrets>,
    output: Output,
}

/// The parameters of Systems Manager that the stack's guardian reads.
struct Secrets {
    client: Ssm,
    path: String,
}

/// The value of an account's parameter.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    #[serde(flatten)]
    pub(crate) current: Secret,
    /// The secret that a rotation puts in the place of the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Secret>,
}

impl From<Secret> for StoredSecret {
    fn from(current: Secret) -> Self {
        Self {
            current,
            next: None,
        }
    }
}

/// A line of an account, for programs.
#[derive(Serialize)]
pub(crate) struct AccountLine<'a> {
    pub(crate) provider: &'static str,
    /// Its id. `None`: the API did not tell it.
    pub(crate) account: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) line: &'a Line,
}

impl AccountOptions {
    /// Asks the API for the account, and opens its table.
    pub(crate) async fn open(&self) -> Result<ManagedAccount, Failure> {
        let Connection { local, table, .. } = &self.connection;
        if self.url.is_none() && (local.is_some() || table.is_some()) {
            let why = "--local and --table need --url, the URL of the receiver";
            return Err(Usage(why.to_owned()).into());
        }
        self.open_without_receiver().await
    }

    /// Like [`open`](Self::open), for a command that needs no URL of the receiver.
    pub(crate) async fn open_without_receiver(&self) -> Result<ManagedAccount, Failure> {
        let provider = self.provider;
        let api = api(&provider)?;
        let (deployer, secrets) = self.deployer().await?;
        let table = self.connection.table().await?;
        let stored = match &secrets {
            Some(secrets) => secrets.of_provider(&provider).await?,
            None => Vec::new(),
        };
        let stored = <[StoredSecret; 1]>::try_from(stored).ok();
        let stored = stored.map(|[stored]| stored.current);
        let api_url = self.api_url(api, stored.as_ref())?;
        let token = match (token(&provider), stored) {
            (Some(token), _) => token,
            (None, Some(stored)) => stored.api_token,
            (None, None) => secret("-", &format!("API token of {}", provider.name))?,
        };
        let access = Access::new(&api_url, &token)?;
        let client = Client::new(api.limits);
        let account = client.send((api.account)(&access)).await;
        let account = account.map_err(|error| refused(&provider, &error))?;
        Ok(ManagedAccount {
            name: format!("{}/{}", provider.name, account.id),
            horizon: self.horizon.unwrap_or(api.horizon),
            output: self.output,
            provider,
            api,
            access,
            client,
            account,
            table,
            deployer,
            token,
            api_url,
            secrets,
        })
    }

    async fn deployer(&self) -> Result<(Deployer, Option<Secrets>), Failure> {
        let Connection { local, table, .. } = &self.connection;
        if let Some(url) = self.url.clone() {
            if local.is_none() && table.is_none() {
                let why = "--url needs --local or --table: a stack has the URL of its receiver";
                return Err(Usage(why.to_owned()).into());
            }
            return Ok((Deployer::User { url }, None));
        }
        let Some((sdk, stack)) = self.connection.described().await? else {
            let url = String::new();
            return Ok((Deployer::User { url }, None));
        };
        let name = stack.stack_name.unwrap_or_default();
        let secrets = Secrets {
            client: Ssm::new(&sdk),
            path: format!("/hookkeeper/{name}/"),
        };
        let sdk = Box::new(sdk);
        Ok((Deployer::Stack { sdk, name }, Some(secrets)))
    }

    fn api_url(&self, api: &Api, stored: Option<&Secret>) -> Result<String, Usage> {
        let stored = stored.and_then(|stored| stored.api_url.clone());
        let given = self.api_url.clone();
        if let Some(url) = given
            .or(self.account.as_deref().map(api.base_url))
            .or(stored)
        {
            return Ok(url);
        }
        default_api_url(&self.provider, api)
    }
}

/// The API of a provider.
pub(crate) fn api(provider: &Provider) -> Result<&'static Api, Usage> {
    provider.api.ok_or_else(|| {
        let why = "has no API for webhooks: a person registers them in its settings";
        Usage(format!("{} {why}", provider.name))
    })
}

/// The URL of an API that is the same for all accounts.
pub(crate) fn default_api_url(provider: &Provider, api: &Api) -> Result<String, Usage> {
    match provider.name {
        "amocrm" => Err(Usage(
            "--account is the host of the account: example.amocrm.ru".to_owned(),
        )),
        _ => Ok((api.base_url)("")),
    }
}

/// The API token in the environment: `PIPEDRIVE_API_TOKEN`.
pub(crate) fn token(provider: &Provider) -> Option<String> {
    variable(&format!("{}_API_TOKEN", provider.name.to_uppercase()))
}

impl ManagedAccount {
    /// Takes the lease of the account's state.
    pub(crate) async fn guard(&self) -> Result<Guard<'_>, Failure> {
        self.table
            .guard(&self.name)
            .await
            .map_err(|error| match error {
                GuardError::Held(_) => Held(format!("{}: {error}", self.name)).into(),
                error => error.into(),
            })
    }

    /// The provider's list of webhooks.
    pub(crate) async fn list(&self) -> Result<Vec<Webhook>, Failure> {
        let listed = self.client.send((self.api.list)(&self.access)).await;
        listed.map_err(|error| refused(&self.provider, &error))
    }

    pub(crate) async fn delete(&self, webhook: &Webhook) -> Result<(), Failure> {
        match self
            .client
            .send((self.api.delete)(&self.access, webhook))
            .await
        {
            Ok(()) | Err(ApiError::NotFound) => Ok(()),
            Err(error) => Err(refused(&self.provider, &error)),
        }
    }

    /// What the guardian watches with a secret.
    pub(crate) fn target(&self, secret: &Secret) -> Result<Target, Failure> {
        let target = Target::new(self.provider, self.api, &self.account.id, secret.clone());
        Ok(target?)
    }

    /// The account for a command that changes no webhook.
    pub(crate) fn target_for_reading(&self) -> Result<Target, Failure> {
        self.target(&self.secret(&PlainCredential::none(), ""))
    }

    /// A pass of the guardian over the account.
    pub(crate) fn pass<'a>(&'a self, target: &'a Target) -> Pass<'a> {
        Pass {
            target,
            client: &self.client,
            table: &self.table,
            doubt: Duration::ZERO,
        }
    }

    /// The secret of this account with a credential.
    pub(crate) fn secret(&self, credential: &PlainCredential, receiver: &str) -> Secret {
        credential.secret(receiver, self.token.clone(), self.api_url.clone())
    }

    /// The secret in the stack's Systems Manager. `None`: there is none, or no stack.
    pub(crate) async fn stored(&self) -> Result<Option<StoredSecret>, Failure> {
        match &self.secrets {
            Some(secrets) => secrets.get(&self.parameter(&secrets.path)).await,
            None => Ok(None),
        }
    }

    /// Stores the secret, if there is a stack.
    pub(crate) async fn store(&self, secret: &StoredSecret) -> Result<(), Failure> {
        match &self.secrets {
            Some(secrets) => secrets.put(&self.parameter(&secrets.path), secret).await,
            None => Ok(()),
        }
    }

    /// Deletes the secret, if there is one.
    pub(crate) async fn forget(&self) -> Result<(), Failure> {
        match &self.secrets {
            Some(secrets) => secrets.delete(&self.parameter(&secrets.path)).await,
            None => Ok(()),
        }
    }

    fn parameter(&self, path: &str) -> String {
        parameter(path, self.provider.name, &self.account.id)
    }

    /// Prints what was found and done.
    pub(crate) fn say(&self, line: &Line) -> Result<(), Failure> {
        match self.output {
            Output::Json => say!(
                "{}",
                json_line(&AccountLine {
                    provider: self.provider.name,
                    account: Some(&self.account.id),
                    line,
                })?
            )?,
            Output::Table => say!("{}  {}", self.name, sentence(line))?,
        }
        Ok(())
    }
}

/// A line for people: `missing: the webhook 12 is created`.
pub(crate) fn sentence(line: &Line) -> String {
    let finding = line.finding.word();
    let webhook = match line.webhook {
        Some(id) => format!("the webhook {id}"),
        None => "the webhook".to_owned(),
    };
    let done = match line.action {
        Action::Created => format!("{webhook} is created"),
        Action::Deleted => format!("{webhook} is deleted"),
        Action::None | Action::Healed => line.webhook.map_or(String::new(), |_| webhook),
    };
    let names = line.names.join(", ");
    let parts = [done, line.reason.clone().unwrap_or_default(), names];
    let parts = parts.iter().filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.map(|part| &**part).collect();
    match parts.as_slice() {
        [] => finding.to_owned(),
        parts => format!("{finding}: {}", parts.join(", ")),
    }
}

/// What the guardian found about the changes of a day, and what it is still to read back.
pub(crate) fn completeness(guardian: &Guardian) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(Completeness {
        until,
        shown,
        stored,
        healed,
    }) = &guardian.completeness
    {
        let until = seconds(*until);
        parts.push(format!(
            "{stored} of {shown} changes stored in the day until {until}, {healed} of them read back"
        ));
    }
    let gaps = guardian.gaps.iter();
    parts.extend(gaps.map(|gap| format!("gap since {} to be read back", seconds(gap.from))));
    parts
}

impl Secrets {
    /// The secrets of all accounts of a provider.
    async fn of_provider(&self, provider: &Provider) -> Result<Vec<StoredSecret>, Failure> {
        let path = format!("{}{}", self.path, provider.name);
        let get = self.client.get_parameters_by_path().path(path);
        let pages = get.with_decryption(true).into_paginator().send();
        let pages = pages.try_collect().await;
        let pages = pages.map_err(|error| unreadable(&causes(&error)))?;
        let parameters = pages.iter().flat_map(GetParametersByPathOutput::parameters);
        let values = parameters.filter_map(|parameter| parameter.value());
        values
            .map(|value| Ok(serde_json::from_str(value)?))
            .collect()
    }

    async fn get(&self, name: &str) -> Result<Option<StoredSecret>, Failure> {
        let get = self.client.get_parameter().name(name).with_decryption(true);
        let parameter = match get.send().await {
            Ok(found) => found.parameter,
            Err(error) if error.code() == Some(NOT_FOUND) => None,
            Err(error) => return Err(unreadable(&causes(&error))),
        };
        let value = parameter.and_then(|parameter| parameter.value);
        Ok(value
            .map(|value| serde_json::from_str(&value))
            .transpose()?)
    }

    async fn put(&self, name: &str, secret: &StoredSecret) -> Result<(), Failure> {
        let put = self
            .client
            .put_parameter()
            .name(name)
            .value(serde_json::to_string(secret)?)
            .r#type(ParameterType::SecureString)
            .overwrite(true);
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the secret cannot be stored ({})", causes(&error)).into()),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        match self.client.delete_parameter().name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NOT_FOUND) => Ok(()),
            Err(error) => Err(format!("the secret cannot be deleted ({})", causes(&error)).into()),
        }
    }
}

fn unreadable(why: &str) -> Failure {
    format!("the secrets of the stack cannot be read ({why})").into()
}

/// Error of a call of the API, with advice.
pub(crate) fn refused(provider: &Provider, error: &ApiError) -> Failure {
    let name = provider.name;
    let advice = match error {
        ApiError::Unauthorized => {
            format!(": set {}_API_TOKEN to a valid token", name.to_uppercase())
        }
        ApiError::Forbidden => ": use the token of an administrator".to_owned(),
        ApiError::Limit => ": delete one that nobody needs".to_owned(),
        ApiError::RateLimited { .. } | ApiError::Unavailable(_) => {
            ": run it again later".to_owned()
        }
        _ => String::new(),
    };
    format!("{name}: {error}{advice}").into()
}

/// The credential that the user gives for a receiver without a stack.
pub(crate) fn credential_of_user() -> Result<Option<PlainCredential>, Failure> {
    if let Some(key) = variable("HOOKKEEPER_KEY") {
        return Ok(Some(PlainCredential::Key { key }));
    }
    let user = variable("HOOKKEEPER_USER");
    user.map(|user| PlainCredential::parse_basic(&user))
        .transpose()
}

/// Our webhooks in a list: those with the wanted URL, and those that were ours before and have
/// another key in the same URL.
pub(crate) fn ours<'a>(
    state: Option<&Guardian>,
    listed: &'a [Webhook],
    wanted: &Wanted,
) -> Vec<&'a Webhook> {
    let known = state.into_iter().flat_map(|state| &state.webhooks);
    let known = known.map(|webhook| webhook.id).collect();
    let facts = Facts {
        listed,
        wanted,
        known: &known,
    };
    let ours: Vec<u64> = facts.ours().map(|webhook| webhook.id).collect();
    listed
        .iter()
        .filter(|webhook| ours.contains(&webhook.id))
        .collect()
}

/// Does something long while the lease is extended.
pub(crate) async fn holding<T>(
    guard: &mut Guard<'_>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    loop {
        match timeout(LEASE / 3, &mut work).await {
            Ok(done) => return done,
            Err(_) => guard.save().await?,
        }
    }
}
