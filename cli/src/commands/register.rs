//! `hookkeeper register`: registers the webhook of an account, with a credential that the receiver
//! accepts.

use crate::{
    Failure,
    credential::{PlainCredential, scheme},
    deployer::{Deployer, probe},
    managed_account::{AccountOptions, ManagedAccount, credential_of_user, holding, ours, refused},
    signal,
};
use clap::Args;
use guardian::{Action, Finding, Line, secrets::Secret};
use providers::{
    Provider,
    api::{ApiError, Wanted},
};
use std::{collections::BTreeSet, time::Duration};
use storage::guardian::{Guard, Rotation, Step};
use tokio::time::sleep;

/// Waits before the further attempts, in seconds, if the provider does not find the URL: a new host name is
/// known everywhere only after a minute.
const URL_WAITS: [u64; 6] = [1, 4, 5, 10, 20, 30];

/// Registers the webhook of an account at its provider, and makes the receiver accept its credential.
///
/// Stores what the guardian needs to watch it. A second call changes nothing.
///
/// Example: cargo hookkeeper register amocrm --account example.amocrm.ru
#[derive(Args)]
pub(crate) struct Register {
    #[command(flatten)]
    account: AccountOptions,
}

impl Register {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = self.account.open().await?;
        if account.account.is_admin == Some(false) {
            let why = "is not an administrator: its webhook would not get every event";
            return Err(format!("{}: the user of the token {why}", account.name).into());
        }
        if self.account.dry_run {
            return look(&account).await;
        }
        let stop = signal::stop()?;
        let mut guard = account.guard().await?;
        let prepared = tokio::select! {
            prepared = prepare(&account, &mut guard) => prepared,
            () = stop => Err("interrupted: run it again to continue".into()),
        };
        guard.release().await?;
        watch(&account, &prepared?).await
    }
}

/// Says what would be done.
async fn look(account: &ManagedAccount) -> Result<(), Failure> {
    let receiver = account.deployer.url(&account.provider).await?;
    let secret = match (account.stored().await?, credential_of_user()?) {
        (Some(stored), _) => stored.current,
        (None, Some(credential)) => account.secret(&credential, &receiver.unwrap_or_default()),
        (None, None) => {
            let line = Line::new(Finding::Missing, Action::None, None);
            let why = "it would be created, with a new credential";
            return account.say(&line.because(&why));
        }
    };
    let target = account.target(&secret)?;
    let report = account.pass(&target).look().await?;
    report.lines.iter().try_for_each(|line| account.say(line))
}

/// Makes the receiver accept a credential, and creates the webhook if there is none.
async fn prepare(account: &ManagedAccount, guard: &mut Guard<'_>) -> Result<Secret, Failure> {
    let rotating = guard.state.rotating.as_ref();
    if rotating.is_some_and(|rotation| rotation.step != Step::Registering) {
        let why = "is being rotated: run `hookkeeper rotate` to its end";
        return Err(format!("{} {why}", account.name).into());
    }
    // Reading the list needs the same right as writing it.
    account.list().await?;
    let begun = Rotation::new(Step::Registering, account.table.now());
    guard.state.rotating = Some(begun);
    guard.save().await?;
    let secret = match &account.deployer {
        Deployer::Stack { .. } => deploy(account, guard).await?,
        Deployer::User { url } => ask(account, guard, url).await?,
    };
    let wanted = account.target(&secret)?.wanted;
    if ours(Some(&guard.state), &account.list().await?, &wanted).is_empty() {
        let creating = create(account, wanted);
        let (created, refused) = holding(guard, creating).await?;
        guard.state.refused = refused;
        account.say(&Line::new(Finding::Missing, Action::Created, Some(created)))?;
    }
    guard.state.rotating = None;
    guard.save().await?;
    Ok(secret)
}

/// Makes the receiver of a stack accept the account's credential, which is stored before that.
async fn deploy(account: &ManagedAccount, guard: &mut Guard<'_>) -> Result<Secret, Failure> {
    let ManagedAccount {
        provider, deployer, ..
    } = account;
    let stored = account.stored().await?;
    let credential = stored.and_then(|stored| PlainCredential::from_secret(&stored.current));
    let credential = match credential {
        Some(credential) => credential,
        None => PlainCredential::new(scheme(provider))?,
    };
    // A stack has no URL for a provider without credentials.
    let receiver = deployer.url(provider).await?.unwrap_or_default();
    account
        .store(&account.secret(&credential, &receiver).into())
        .await?;
    let accepting = deployer.accept(provider, &credential);
    holding(guard, accepting).await?;
    let receiver = deployer.url(provider).await?;
    let receiver = receiver.ok_or("the stack has no URL for this provider: deploy this version")?;
    let secret = account.secret(&credential, &receiver);
    account.store(&secret.clone().into()).await?;
    let shown = credential.shown();
    let probing = probe(provider, &receiver, &shown);
    holding(guard, probing).await?;
    Ok(secret)
}

/// Waits until the receiver of the user accepts the credential.
async fn ask(
    account: &ManagedAccount,
    guard: &mut Guard<'_>,
    url: &str,
) -> Result<Secret, Failure> {
    let ManagedAccount {
        provider, deployer, ..
    } = account;
    let credential = credential_of_user()?.map_or_else(|| generated(provider), Ok)?;
    let shown = credential.shown();
    let accepting = deployer.accept(provider, &credential);
    holding(guard, accepting).await?;
    let probing = probe(provider, url, &shown);
    holding(guard, probing).await?;
    Ok(account.secret(&credential, url))
}

/// A new credential, which the user has to keep.
fn generated(provider: &Provider) -> Result<PlainCredential, Failure> {
    let new = PlainCredential::new(scheme(provider))?;
    eprintln!(
        "New credential (not shown again):\n\n  {}\n",
        new.to_paste()
    );
    Ok(new)
}

/// Creates the webhook. Returns its id, and the codes of events that the account refuses.
async fn create(
    account: &ManagedAccount,
    mut wanted: Wanted,
) -> Result<(u64, BTreeSet<String>), Failure> {
    let mut waits = URL_WAITS.into_iter();
    let mut dropped = BTreeSet::new();
    loop {
        let create = (account.api.create)(&account.access, &wanted);
        let error = match account.client.send(create).await {
            Ok(webhook) => return Ok((webhook.id, dropped)),
            Err(error) => error,
        };
        let codes = (account.api.refused)(&error, &wanted);
        if !codes.is_empty() {
            let names: Vec<&str> = codes.iter().map(|code| &**code).collect();
            let line = Line::new(Finding::Ok, Action::None, None);
            let why = format!("the account refuses the events {}", names.join(", "));
            account.say(&line.because(&why))?;
            wanted = wanted.without(&codes);
            dropped.extend(codes);
            continue;
        }
        match waits.next().filter(|_| is_about_url(&error)) {
            Some(wait) => sleep(Duration::from_secs(wait)).await,
            None => return Err(refused(&account.provider, &error)),
        }
    }
}

/// Whether the provider does not find the URL of the webhook.
fn is_about_url(error: &ApiError) -> bool {
    let ApiError::Invalid(problems) = error else {
        return false;
    };
    let mut paths = problems
        .iter()
        .filter_map(|problem| problem.path.as_deref());
    paths.any(|path| path.contains("destination") || path.contains("url"))
}

/// Looks at the webhook as the guardian does, and repairs it. Fails if a finding is open.
async fn watch(account: &ManagedAccount, secret: &Secret) -> Result<(), Failure> {
    let target = account.target(secret)?;
    let report = account.pass(&target).repair().await?;
    report.lines.iter().try_for_each(|line| account.say(line))?;
    match report.open() {
        Some(line) => Err(format!("{}: {} is open", account.name, line.finding.word()).into()),
        None => Ok(()),
    }
}
