//! The states of the guardian: one item for each account, which one process at a time changes.

use crate::{
    Key, Table, TableError,
    index::Order,
    lease::{Lease, Leased},
    schema::{
        self, Item, ItemError,
        guardian::{self, ACCOUNTS_PK},
    },
};
use futures_util::TryStreamExt;
use models::{API_CHANNEL, Timestamp};
use std::{pin::pin, time::Duration};

pub use crate::schema::guardian::{
    Completeness, Gap, Guardian, Heard, KnownWebhook, Rotation, Spent, Step,
};

/// How long a process holds an account without a sign of life. A call of a provider's API takes
/// less.
pub const LEASE: Duration = Duration::from_mins(1);

/// Why a process cannot change the state of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Another process holds the account.
    #[error("another process holds the account until {0}")]
    Held(Timestamp),
    /// Another process took the account over, or removed it.
    #[error("another process took the account over")]
    Lost,
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// An account that this process holds.
#[derive(Debug)]
pub struct Guard<'a> {
    table: &'a Table,
    saved: Guardian,
    /// The state, which [`Guard::save`] and [`Guard::release`] write.
    pub state: Guardian,
}

impl Leased for Guardian {
    fn key(&self) -> Key {
        guardian::key(&self.account)
    }

    fn lease(&self) -> &Lease {
        &self.lease
    }

    fn lease_mut(&mut self) -> &mut Lease {
        &mut self.lease
    }

    fn encode(&self) -> Item {
        guardian::encode(self)
    }

    fn decode(item: Item) -> Result<Self, ItemError> {
        guardian::decode(item)
    }
}

impl Table {
    /// Reads the state of an account, `<provider>/<account id>`.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn guardian(&self, account: &str) -> Result<Option<Guardian>, TableError> {
        self.leased(&guardian::key(account)).await
    }

    /// Reads the states of all accounts, in the order of their names: one query for the names, and
    /// one get for each. There are few, and a scan would read every event.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn guardians(&self) -> Result<Vec<Guardian>, TableError> {
        let mut guardians = Vec::new();
        for item in self.partition(ACCOUNTS_PK.to_owned()).await? {
            let account = schema::key(&item).sk;
            guardians.extend(self.guardian(&account).await?);
        }
        Ok(guardians)
    }

    /// Takes the lease of an account, and creates its state if there is none.
    ///
    /// # Errors
    /// - [`GuardError::Held`].
    /// - [`GuardError::Table`].
    pub async fn guard(&self, account: &str) -> Result<Guard<'_>, GuardError> {
        loop {
            let taken = match self.guardian(account).await? {
                Some(guardian) => self.take_guardian(guardian).await?,
                None => self.create_guardian(account).await?,
            };
            // Another process was faster. Look again.
            if let Some(saved) = taken {
                return Ok(Guard {
                    table: self,
                    state: saved.clone(),
                    saved,
                });
            }
        }
    }

    async fn take_guardian(&self, guardian: Guardian) -> Result<Option<Guardian>, GuardError> {
        let now = self.now();
        if guardian.lease.is_held(now) {
            return Err(GuardError::Held(guardian.lease.leaseuntil));
        }
        let mut taken = guardian.clone();
        taken.lease.take(now, LEASE);
        let owner = taken.lease.owner.clone();
        let taken = self.replace_leased(&guardian, taken, owner.as_deref());
        Ok(taken.await?)
    }

    async fn create_guardian(&self, account: &str) -> Result<Option<Guardian>, TableError> {
        // First, so that every account is listed.
        let put = self.client.put_item().table_name(&self.name);
        let put = put.set_item(Some(guardian::encode_account(account)));
        put.send().await?;
        let now = self.now();
        let created = Guardian::new(account, Lease::new(now, LEASE), now);
        self.create_leased(created).await
    }

    /// Returns when an event of a source was last recorded since a time, except those that were read
    /// back from an API. Reads the index backwards.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn last_recorded(
        &self,
        source: &str,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, TableError> {
        let prefix = format!("{source}#");
        let mut entries = pin!(self.recorded(since..self.now(), Order::NewestFirst));
        while let Some(entry) = entries.try_next().await? {
            let is_delivered = entry.channel.as_deref() != Some(API_CHANNEL);
            if is_delivered && entry.key.pk.starts_with(&prefix) {
                return Ok(Some(entry.recorded));
            }
        }
        Ok(None)
    }
}

impl Guard<'_> {
    /// Saves the state, with the lease extended.
    ///
    /// # Errors
    /// [`GuardError::Lost`] and [`GuardError::Table`].
    pub async fn save(&mut self) -> Result<(), GuardError> {
        let mut new = self.state.clone();
        new.lease.leaseuntil = self.table.now().after(LEASE);
        self.replace(new).await
    }

    /// Saves the state, and lets another process take the account.
    ///
    /// # Errors
    /// [`GuardError::Lost`] and [`GuardError::Table`].
    pub async fn release(mut self) -> Result<Guardian, GuardError> {
        let mut new = self.state.clone();
        new.lease.owner = None;
        self.replace(new).await?;
        Ok(self.saved)
    }

    /// Deletes the state.
    ///
    /// # Errors
    /// [`GuardError::Lost`] and [`GuardError::Table`].
    pub async fn delete(self) -> Result<(), GuardError> {
        if !self.table.delete_leased(&self.saved).await? {
            return Err(GuardError::Lost);
        }
        // Last, so that every account is listed.
        let account = guardian::account_key(&self.saved.account);
        Ok(self.table.delete(&account).await?)
    }

    async fn replace(&mut self, new: Guardian) -> Result<(), GuardError> {
        let owner = self.saved.lease.owner.as_deref();
        let saved = self.table.replace_leased(&self.saved, new, owner).await?;
        self.saved = saved.ok_or(GuardError::Lost)?;
        self.state = self.saved.clone();
        Ok(())
    }
}
