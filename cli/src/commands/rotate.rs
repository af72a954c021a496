//! `hookkeeper rotate`: replaces the credential of a webhook, so that no delivery is refused.

use crate::{
    Failure,
    credential::{PlainCredential, scheme},
    deployer::{Deployer, probe},
    managed_account::{
        AccountOptions, ManagedAccount, StoredSecret, credential_of_user, holding, ours, refused,
    },
    signal,
};
use clap::Args;
use futures_util::TryStreamExt;
use guardian::{Action, Finding, Line};
use models::Timestamp;
use providers::api::{Wanted, Webhook};
use std::{future::ready, pin::pin, time::Duration};
use storage::{
    Order,
    guardian::{Guard, Rotation, Step},
};
use tokio::time::sleep;

/// How long the new webhook has for its first delivery. After that, the old one is deleted.
const FIRST_DELIVERY: Duration = Duration::from_mins(15);
/// How often the provider's list is read while it is waited for the first delivery.
const LISTING: Duration = Duration::from_mins(1);
/// Waits between two looks at the table: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Replaces the credential of a webhook: the receiver accepts a second one, a second webhook sends it, and then the first
/// webhook and its credential are removed. No delivery is refused.
///
/// It continues where it was interrupted. While it runs, and for a day at most, the guardian changes nothing.
///
/// Example: cargo hookkeeper rotate pipedrive
#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    account: AccountOptions,
}

/// A rotation in progress.
struct Rotating<'a> {
    account: &'a ManagedAccount,
    guard: Guard<'a>,
    /// The secret with the current credential, and with the next one.
    secret: StoredSecret,
}

impl Rotate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = self.account.open().await?;
        if self.account.dry_run {
            let state = account.table.guardian(&account.name).await?;
            let rotation = state.and_then(|state| state.rotating);
            return say(
                &account,
                &format!("the next step would be to {}", next_step(rotation)),
            );
        }
        let stop = signal::stop()?;
        let mut rotating = Rotating::new(&account).await?;
        let done = tokio::select! {
            done = rotating.run() => done,
            () = stop => Err("interrupted: run it again to continue".into()),
        };
        rotating.guard.release().await?;
        done
    }
}

impl<'a> Rotating<'a> {
    /// Takes the lease of the account, and reads its secret.
    async fn new(account: &'a ManagedAccount) -> Result<Self, Failure> {
        let stored = account.stored().await?;
        let secret = match &account.deployer {
            Deployer::Stack { .. } => stored.ok_or_else(|| {
                let why = "is not registered: run `hookkeeper register` first";
                format!("{} {why}", account.name)
            })?,
            Deployer::User { url } => {
                let credential = credential_of_user()?;
                let why = "set HOOKKEEPER_USER or HOOKKEEPER_KEY to the new credential";
                let next = account.secret(&credential.ok_or(why)?, url);
                StoredSecret {
                    current: next.clone(),
                    next: Some(next),
                }
            }
        };
        Ok(Self {
            guard: account.guard().await?,
            account,
            secret,
        })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        if self.rotation().is_none() {
            self.begin().await?;
        }
        while let Some(rotation) = self.rotation() {
            match rotation.step {
                Step::Registering => {
                    let why = "is being registered or unregistered: finish that first";
                    return Err(format!("{} {why}", self.account.name).into());
                }
                Step::Begun => self.accept(rotation).await?,
                Step::Accepted => self.create(rotation).await?,
                Step::Created => self.replace(rotation).await?,
                Step::Deleted => self.end(rotation).await?,
            }
        }
        Ok(())
    }

    fn rotation(&self) -> Option<Rotation> {
        self.guard.state.rotating.clone()
    }

    /// Finds the webhooks that are to be replaced. From here on, the guardian changes nothing.
    async fn begin(&mut self) -> Result<(), Failure> {
        let name = &self.account.name;
        let wanted = self.account.target(&self.secret.current)?.wanted;
        let listed = self.account.list().await?;
        let ours = ours(Some(&self.guard.state), &listed, &wanted);
        if ours.is_empty() {
            return Err(format!("{name} has no webhook: run `hookkeeper register` first").into());
        }
        let mut others = listed.iter().filter(|webhook| webhook.url == wanted.url);
        if let Some(other) = others.find(|webhook| webhook.kind != wanted.kind) {
            return Err(format!(
                "the webhook {} of {name} is for {}, and has the same URL. Its deliveries would be \
                refused with the old credential: delete it first",
                other.id, other.kind
            )
            .into());
        }
        let replaced = ours.iter().map(|webhook| webhook.id).collect();
        self.guard.state.rotating = Some(Rotation {
            replaced,
            ..Rotation::new(Step::Begun, self.account.table.now())
        });
        Ok(self.guard.save().await?)
    }

    /// Makes the receiver accept a new credential.
    async fn accept(&mut self, rotation: Rotation) -> Result<(), Failure> {
        let ManagedAccount {
            provider, deployer, ..
        } = self.account;
        let receiver = deployer.url(provider).await?;
        let receiver = receiver.ok_or("the stack has no URL for this provider: deploy it")?;
        let next = self.next(&receiver).await?;
        let oldlabel = match PlainCredential::from_secret(&self.secret.current) {
            Some(old) => deployer.label_of(provider, &old).await?,
            None => None,
        };
        let accepting = deployer.accept(provider, &next);
        let label = holding(&mut self.guard, accepting).await?;
        let shown = next.shown();
        let probing = probe(provider, &receiver, &shown);
        holding(&mut self.guard, probing).await?;
        let credential = label.as_deref().unwrap_or("of the environment");
        let message = format!("the receiver accepts the credential {credential}");
        say(self.account, &message)?;
        self.done(Rotation {
            step: Step::Accepted,
            label,
            oldlabel,
            ..rotation
        })
        .await
    }

    /// The new credential. It is stored before anybody else knows it.
    async fn next(&mut self, receiver: &str) -> Result<PlainCredential, Failure> {
        let stored = self.secret.next.as_ref();
        if let Some(next) = stored.and_then(PlainCredential::from_secret) {
            return Ok(next);
        }
        let next = PlainCredential::new(scheme(&self.account.provider))?;
        self.secret.next = Some(self.account.secret(&next, receiver));
        self.account.store(&self.secret).await?;
        Ok(next)
    }

    /// Registers the second webhook, unless it is there.
    async fn create(&mut self, rotation: Rotation) -> Result<(), Failure> {
        let account = self.account;
        let wanted = self.successor()?;
        let mut listed = account.list().await?;
        if successor(&listed, &wanted, &rotation).is_none() {
            let create = (account.api.create)(&account.access, &wanted);
            let created = account.client.send(create).await;
            created.map_err(|error| refused(&account.provider, &error))?;
            listed = account.list().await?;
        }
        let created = successor(&listed, &wanted, &rotation);
        let created =
            created.ok_or("the new webhook is not in the provider's list: run it again")?;
        account.say(&Line::new(Finding::Ok, Action::Created, Some(created.id)))?;
        self.done(Rotation {
            step: Step::Created,
            ..rotation
        })
        .await
    }

    /// Deletes the first webhook when the second one delivers.
    async fn replace(&mut self, rotation: Rotation) -> Result<(), Failure> {
        let account = self.account;
        let wanted = self.successor()?;
        let waiting = first_delivery(account, &wanted, &rotation);
        holding(&mut self.guard, waiting).await?;
        let listed = account.list().await?;
        if successor(&listed, &wanted, &rotation).is_none() {
            let line = Line::new(Finding::Missing, Action::None, None);
            account.say(&line.because(&"somebody deleted the new webhook"))?;
            let step = Step::Accepted;
            return self.done(Rotation { step, ..rotation }).await;
        }
        // From here on, the guardian would register the new webhook.
        self.secret.current = self
            .secret
            .next
            .take()
            .unwrap_or(self.secret.current.clone());
        account.store(&self.secret).await?;
        let mut replaced = listed.iter();
        while let Some(webhook) = replaced.find(|webhook| rotation.replaced.contains(&webhook.id)) {
            account.delete(webhook).await?;
            let id = Some(webhook.id);
            account.say(&Line::new(Finding::Superseded, Action::Deleted, id))?;
        }
        self.done(Rotation {
            step: Step::Deleted,
            ..rotation
        })
        .await
    }

    /// Removes the old credential when no retry can come with it any more.
    async fn end(&mut self, rotation: Rotation) -> Result<(), Failure> {
        let account = self.account;
        let waiting = last_retry(account, &rotation);
        holding(&mut self.guard, waiting).await?;
        let message = match &rotation.oldlabel {
            Some(label) => {
                let dropping = account.deployer.drop(&account.provider, label);
                holding(&mut self.guard, dropping).await?;
                format!("the receiver does not accept the credential {label} any more")
            }
            None => "remove the old digest from the receiver's parameter".to_owned(),
        };
        self.guard.state.rotating = None;
        self.guard.save().await?;
        say(account, &message)
    }

    /// Saves that a step is done.
    async fn done(&mut self, rotation: Rotation) -> Result<(), Failure> {
        self.guard.state.rotating = Some(Rotation {
            at: self.account.table.now(),
            ..rotation
        });
        Ok(self.guard.save().await?)
    }

    /// The webhook with the new credential.
    fn successor(&self) -> Result<Wanted, Failure> {
        let secret = self.secret.next.as_ref().unwrap_or(&self.secret.current);
        let wanted = self.account.target(secret)?.wanted;
        Ok(wanted.without(&self.guard.state.refused))
    }
}

/// Prints that something is done.
fn say(account: &ManagedAccount, message: &str) -> Result<(), Failure> {
    let line = Line::new(Finding::Ok, Action::None, None);
    account.say(&line.because(&message))
}

fn next_step(rotation: Option<Rotation>) -> &'static str {
    match rotation.map(|rotation| rotation.step) {
        None | Some(Step::Registering | Step::Begun) => "make the receiver accept a new credential",
        Some(Step::Accepted) => "register a second webhook",
        Some(Step::Created) => "delete the first webhook after a delivery of the second",
        Some(Step::Deleted) => "remove the old credential after the last retry",
    }
}

/// The new webhook in a list.
fn successor<'a>(
    listed: &'a [Webhook],
    wanted: &Wanted,
    rotation: &Rotation,
) -> Option<&'a Webhook> {
    listed.iter().find(|webhook| {
        let is_new = !rotation.replaced.contains(&webhook.id);
        is_new && webhook.dead.is_none() && wanted.is_met_by(webhook)
    })
}

/// Waits until the new webhook has delivered an event, at most [`FIRST_DELIVERY`].
async fn first_delivery(
    account: &ManagedAccount,
    wanted: &Wanted,
    rotation: &Rotation,
) -> Result<(), Failure> {
    let until = rotation.at.after(FIRST_DELIVERY);
    let mut wait = FIRST_WAIT;
    let mut listing = rotation.at;
    while account.table.now() < until {
        if let Some(label) = &rotation.label
            && last_delivery(account, label, rotation.since)
                .await?
                .is_some()
        {
            return Ok(());
        }
        // An event of both webhooks is stored once, perhaps always with the old credential.
        if account.table.now() >= listing {
            listing = account.table.now().after(LISTING);
            let listed = account.list().await?;
            let new = successor(&listed, wanted, rotation);
            if new.is_none_or(|webhook| webhook.last_delivery.is_some()) {
                return Ok(());
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
    Ok(())
}

/// Waits until no delivery with the old credential has come for the horizon of the retries.
async fn last_retry(account: &ManagedAccount, rotation: &Rotation) -> Result<(), Failure> {
    let mut wait = FIRST_WAIT;
    loop {
        let last = match &rotation.oldlabel {
            Some(label) => last_delivery(account, label, rotation.at).await?,
            None => None,
        };
        let silent = last.unwrap_or(rotation.at);
        if account.table.now() >= silent.after(account.horizon) {
            return Ok(());
        }
        sleep(wait).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

/// When an event of the provider was last recorded with the credential of a label.
async fn last_delivery(
    account: &ManagedAccount,
    label: &str,
    since: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let until = account.table.now();
    if until <= since {
        return Ok(None);
    }
    let entries = account.table.recorded(since..until, Order::NewestFirst);
    let with_label = entries.try_filter(|entry| {
        let is_of_provider = entry.key.pk.starts_with(account.provider.name);
        ready(is_of_provider && entry.credential.as_deref() == Some(label))
    });
    let last = pin!(with_label).try_next().await?;
    Ok(last.map(|entry| entry.recorded))
}
