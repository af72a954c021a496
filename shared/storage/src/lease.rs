//! Items that one process at a time writes: the states of consumers and of guardians.
//!
//! Every write is conditional on the one before, so a process that lost the lease cannot write.

use crate::{
    Table, TableError,
    schema::{Item, ItemError, Key, key_attributes},
};
use aws_sdk_dynamodb::{
    error::SdkError, operation::put_item::builders::PutItemFluentBuilder, types::AttributeValue,
};
use models::Timestamp;
use std::time::Duration;

pub use crate::schema::Lease;

/// A state that is written with a lease.
pub(crate) trait Leased: Clone + PartialEq {
    /// The key of its item.
    fn key(&self) -> Key;
    fn lease(&self) -> &Lease;
    fn lease_mut(&mut self) -> &mut Lease;
    fn encode(&self) -> Item;
    /// # Errors
    /// [`ItemError`].
    fn decode(item: Item) -> Result<Self, ItemError>;
}

impl Lease {
    /// The lease of a new item.
    pub(crate) fn new(now: Timestamp, length: Duration) -> Self {
        Self {
            revision: 1,
            owner: Some(random()),
            leaseuntil: now.after(length),
        }
    }

    /// Whether a process holds it.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.owner.is_some() && self.leaseuntil > now
    }

    /// Gives it to this process.
    pub(crate) fn take(&mut self, now: Timestamp, length: Duration) {
        self.owner = Some(random());
        self.leaseuntil = now.after(length);
    }
}

impl Table {
    /// Reads a state.
    pub(crate) async fn leased<T: Leased>(&self, key: &Key) -> Result<Option<T>, TableError> {
        let item = self.item(key).await?;
        Ok(item.map(T::decode).transpose()?)
    }

    /// Puts a new state. `None`: another process was faster.
    pub(crate) async fn create_leased<T: Leased>(&self, new: T) -> Result<Option<T>, TableError> {
        let put = self.client.put_item().table_name(&self.name);
        let put = put.condition_expression("attribute_not_exists(pk)");
        self.put_leased(put, new).await
    }

    /// Replaces a state for the process `owner`, if nobody else wrote it since. Returns the new
    /// state, or `None` if somebody did.
    pub(crate) async fn replace_leased<T: Leased>(
        &self,
        old: &T,
        new: T,
        owner: Option<&str>,
    ) -> Result<Option<T>, TableError> {
        let mut revision = old.lease().revision;
        loop {
            let mut new = new.clone();
            new.lease_mut().revision = revision + 1;
            let put = self
                .client
                .put_item()
                .table_name(&self.name)
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string()));
            let key = new.key();
            if let Some(saved) = self.put_leased(put, new).await? {
                return Ok(Some(saved));
            }
            // A write of this process may have taken effect although its response was lost.
            let stored: Option<T> = self.leased(&key).await?;
            let stored = stored.filter(|stored| stored.lease().owner.as_deref() == owner);
            match stored.filter(|_| owner.is_some()) {
                Some(own) => revision = own.lease().revision,
                None => return Ok(None),
            }
        }
    }

    /// Puts a state. `None`: the condition is not met.
    async fn put_leased<T: Leased>(
        &self,
        put: PutItemFluentBuilder,
        new: T,
    ) -> Result<Option<T>, TableError> {
        match put.set_item(Some(new.encode())).send().await {
            Ok(_) => Ok(Some(new)),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                // The SDK's own retry of a put that took effect ends here too.
                let stored: Option<T> = self.leased(&new.key()).await?;
                Ok(stored.filter(|stored| *stored == new))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a state. Returns `false` if somebody else wrote it since.
    pub(crate) async fn delete_leased<T: Leased>(&self, state: &T) -> Result<bool, TableError> {
        let revision = AttributeValue::N(state.lease().revision.to_string());
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key_attributes(&state.key())))
            .condition_expression("revision = :revision")
            .expression_attribute_values(":revision", revision);
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A text that no other process has.
fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}
