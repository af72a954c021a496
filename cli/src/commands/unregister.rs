//! `hookkeeper unregister`: deletes the webhook of an account, and its credential.

use crate::{
    Failure,
    credential::PlainCredential,
    deployer::Deployer,
    managed_account::{
        AccountOptions, ManagedAccount, StoredSecret, credential_of_user, holding, ours,
    },
};
use clap::Args;
use guardian::{Action, Finding, Line, secrets::Secret};
use providers::api::Webhook;
use storage::guardian::{Guard, Guardian, Rotation, Step};

/// Deletes the webhook of an account at its provider, and what `register` stored and deployed for it.
///
/// Events that are stored stay. A provider without any accepted credential is removed from the stack.
///
/// Example: cargo hookkeeper unregister pipedrive --dry-run
#[derive(Args)]
pub(crate) struct Unregister {
    #[command(flatten)]
    account: AccountOptions,
}

impl Unregister {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = self.account.open().await?;
        let secrets = secrets(&account).await?;
        if self.account.dry_run {
            let state = account.table.guardian(&account.name).await?;
            let listed = account.list().await?;
            for webhook in registered(&account, state.as_ref(), &listed, &secrets)? {
                let line = Line::new(Finding::Ok, Action::None, Some(webhook.id));
                account.say(&line.because(&"it would be deleted"))?;
            }
            return Ok(());
        }
        let mut guard = account.guard().await?;
        match unregister(&account, &mut guard, &secrets).await {
            Ok(()) => guard.delete().await?,
            Err(error) => {
                guard.release().await?;
                return Err(error);
            }
        }
        let line = Line::new(Finding::Ok, Action::None, None);
        account.say(&line.because(&"nothing is registered"))
    }
}

/// The secrets of the account: the current one, and the one of an unfinished rotation.
async fn secrets(account: &ManagedAccount) -> Result<Vec<Secret>, Failure> {
    if let Deployer::User { url } = &account.deployer {
        // Without a credential, the webhook is the one with exactly this URL.
        let credential = credential_of_user()?.unwrap_or_else(PlainCredential::none);
        return Ok(vec![account.secret(&credential, url)]);
    }
    let stored = account.stored().await?;
    let secrets = stored.map(|StoredSecret { current, next }| [Some(current), next]);
    Ok(secrets.into_iter().flatten().flatten().collect())
}

/// Deletes the webhook, and then its credential and its secret.
async fn unregister(
    account: &ManagedAccount,
    guard: &mut Guard<'_>,
    secrets: &[Secret],
) -> Result<(), Failure> {
    // From here on, the guardian does not create the webhook again.
    let begun = Rotation::new(Step::Registering, account.table.now());
    guard.state.rotating = Some(begun);
    guard.save().await?;
    let listed = account.list().await?;
    for webhook in registered(account, Some(&guard.state), &listed, secrets)? {
        account.delete(webhook).await?;
        account.say(&Line::new(Finding::Ok, Action::Deleted, Some(webhook.id)))?;
    }
    let listed = account.list().await?;
    if !registered(account, Some(&guard.state), &listed, secrets)?.is_empty() {
        return Err("the provider still lists the webhook: run it again".into());
    }
    for credential in secrets.iter().filter_map(PlainCredential::from_secret) {
        let ManagedAccount {
            provider, deployer, ..
        } = account;
        if let Some(label) = deployer.label_of(provider, &credential).await? {
            holding(guard, deployer.drop(provider, &label)).await?;
        }
    }
    account.forget().await
}

/// The webhooks of the account that were registered with these secrets.
fn registered<'a>(
    account: &ManagedAccount,
    state: Option<&Guardian>,
    listed: &'a [Webhook],
    secrets: &[Secret],
) -> Result<Vec<&'a Webhook>, Failure> {
    let mut registered = Vec::new();
    for secret in secrets {
        let wanted = account.target(secret)?.wanted;
        registered.extend(ours(state, listed, &wanted));
    }
    registered.sort_by_key(|webhook| webhook.id);
    registered.dedup();
    Ok(registered)
}
