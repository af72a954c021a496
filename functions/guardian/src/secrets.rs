//! The secrets of the accounts: SecureString parameters of Systems Manager, one for each account.

use aws_sdk_ssm::{
    Client, Config,
    config::{
        BehaviorVersion, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use providers::{
    ALL, Provider, Scheme,
    api::{Access, AccessError, Api, Basic, Wanted},
};
use serde::{Deserialize, Serialize};
use std::{env, fmt};
use storage::{
    Failure, Settings,
    budget::{ATTEMPTS, BACKGROUND_ATTEMPT, IDLE_CONNECTIONS},
    endpoint, network,
};

/// The value of an account's parameter, as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The API token.
    pub api_token: String,
    /// The URL of the API. `None`: the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// The URL of the webhook, with its key if it has one.
    pub webhook_url: String,
    /// The user name and the password that the provider sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// See `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// An account that is watched.
#[derive(Debug, Clone)]
pub struct Target {
    /// The provider.
    pub provider: Provider,
    /// The API of the provider.
    pub api: &'static Api,
    /// The account's id, as in the `source` of its events.
    pub id: String,
    /// The access to the API.
    pub access: Access,
    /// The webhook that is wanted.
    pub wanted: Wanted,
}

/// Why the secrets cannot be used. Contains none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The parameters cannot be read.
    #[error("Systems Manager {0}")]
    Failed(Failure),
    /// The name of a parameter does not end with a provider that has an API, and an account.
    #[error("the parameter {0} is not named <path>/<provider>/<account id>")]
    Name(String),
    /// The value of a parameter is not the JSON of a [`Secret`].
    #[error("the value of the parameter {0} is not the JSON that `hookkeeper register` writes")]
    Value(String),
    /// The value has a URL or a token that cannot be used.
    #[error("the parameter {0} cannot be used: {1}")]
    Access(String, AccessError),
}

/// Returns the name of an account's parameter, below a path that ends with `/`.
#[must_use]
pub fn parameter(path: &str, provider: &str, account: &str) -> String {
    format!("{path}{provider}/{account}")
}

/// Reads the secrets of all accounts below a path.
///
/// # Errors
/// [`SecretError::Failed`]. The secrets of one account that cannot be used are an error in the list.
pub async fn targets(
    client: &Client,
    path: &str,
) -> Result<Vec<Result<Target, SecretError>>, SecretError> {
    let mut pages = client
        .get_parameters_by_path()
        .path(path)
        .recursive(true)
        .with_decryption(true)
        .into_paginator()
        .send();
    let mut targets = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| SecretError::Failed(Failure::from(&error)))?;
        for parameter in page.parameters() {
            let name = parameter.name().unwrap_or_default();
            let value = parameter.value().unwrap_or_default();
            targets.push(Target::from_parameter(name, value));
        }
    }
    Ok(targets)
}

/// Creates a client of Systems Manager with the settings of a function.
#[must_use]
pub fn client(settings: &Settings) -> Client {
    let timeout = TimeoutConfig::builder()
        .connect_timeout(BACKGROUND_ATTEMPT)
        .operation_attempt_timeout(BACKGROUND_ATTEMPT)
        .build();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(settings.region.clone())
        .credentials_provider(settings.credentials.clone())
        .http_client(network(IDLE_CONNECTIONS))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeout)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(endpoint("AWS_ENDPOINT_URL_SSM"));
    Client::from_conf(config.build())
}

impl Target {
    /// Creates a target.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn new(
        provider: Provider,
        api: &'static Api,
        id: &str,
        secret: Secret,
    ) -> Result<Self, AccessError> {
        let url = secret.api_url.unwrap_or_else(|| (api.base_url)(id));
        let basic = secret.user.zip(secret.password);
        let basic = basic.map(|(user, password)| Basic { user, password });
        // The receiver would refuse every delivery of such a webhook.
        if basic.is_none() && !provider.supports(Scheme::UrlKey) {
            return Err(AccessError::Credential);
        }
        Ok(Self {
            provider,
            api,
            id: id.to_owned(),
            access: Access::new(&url, &secret.api_token)?,
            wanted: (api.wanted)(secret.webhook_url, basic),
        })
    }

    /// Reads a parameter.
    fn from_parameter(name: &str, value: &str) -> Result<Self, SecretError> {
        let wrong_name = || SecretError::Name(name.to_owned());
        let mut parts = name.rsplit('/');
        let (id, provider) = (parts.next(), parts.next());
        let id = id.ok_or_else(wrong_name)?;
        let mut providers = ALL.into_iter();
        let provider = providers.find(|known| Some(known.name) == provider);
        let provider = provider.ok_or_else(wrong_name)?;
        let api = provider.api.ok_or_else(wrong_name)?;
        let secret: Result<Secret, _> = serde_json::from_str(value);
        let mut secret = secret.map_err(|_| SecretError::Value(name.to_owned()))?;
        secret.api_url = api_url(&provider).or(secret.api_url);
        let target = Self::new(provider, api, id, secret);
        target.map_err(|error| SecretError::Access(name.to_owned(), error))
    }

    /// The name of its state: `<provider>/<account id>`.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}/{}", self.provider.name, self.id)
    }
}

/// The URL of a provider's API in the environment, such as `PIPEDRIVE_API_URL`, for all accounts.
fn api_url(provider: &Provider) -> Option<String> {
    let name = format!("{}_API_URL", provider.name.to_uppercase());
    env::var(name).ok().filter(|url| !url.is_empty())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}
