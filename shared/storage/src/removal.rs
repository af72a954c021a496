//! Removal of records, with the chunks that any writer put for them.

use crate::{Key, Table, TableError, schema};
use aws_sdk_dynamodb::{error::SdkError, types::AttributeValue};

impl Table {
    /// Removes a record and every chunk that any writer put for it.
    ///
    /// The item of a record with chunks is marked, then the chunks are deleted, then the item.
    /// Reads skip a marked item, so they never return a record whose chunks are missing. An
    /// interrupted removal leaves the marked item in the table. Removing it again deletes the rest.
    ///
    /// A receiver that stores the same record at the same moment can lose its chunks to the
    /// removal. Commands remove records whose deliveries are over.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn remove(&self, key: &Key) -> Result<(), TableError> {
        let chunks = self.chunks_of_all_writers(key).await?;
        if !chunks.is_empty() {
            self.mark(key).await?;
        }
        for chunk in &chunks {
            self.delete(chunk).await?;
        }
        self.delete(key).await
    }

    /// Completes an interrupted removal of a record. Returns whether there was one.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn finish_removal(&self, key: &Key) -> Result<bool, TableError> {
        let item = self.item(key).await?;
        let was_interrupted = item.is_some_and(|item| schema::is_being_removed(&item));
        if was_interrupted {
            self.remove(key).await?;
        }
        Ok(was_interrupted)
    }

    /// Removes the chunks of a record that are not in `own`: those of another writer, and those of
    /// the item that was replaced.
    pub(crate) async fn remove_other_chunks(
        &self,
        key: &Key,
        own: &[Key],
    ) -> Result<(), TableError> {
        for chunk in self.chunks_of_all_writers(key).await? {
            if !own.contains(&chunk) {
                self.delete(&chunk).await?;
            }
        }
        Ok(())
    }

    /// Returns the keys of all chunks that any writer put for an item.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn chunks_of_all_writers(&self, key: &Key) -> Result<Vec<Key>, TableError> {
        let prefix = schema::chunk_prefix(key);
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
            .expression_attribute_values(":pk", AttributeValue::S(prefix.pk))
            .expression_attribute_values(":sk", AttributeValue::S(prefix.sk))
            .projection_expression("pk, sk, #kind, v")
            .expression_attribute_names("#kind", "kind");
        let mut items = query.into_paginator().items().send();
        let mut chunks = Vec::new();
        while let Some(item) = items.next().await {
            let item = item?;
            let chunk = schema::key(&item);
            if schema::is_chunk(&item) && schema::is_owned_by(&chunk, key) {
                chunks.push(chunk);
            }
        }
        Ok(chunks)
    }

    /// Marks an item, if it exists.
    async fn mark(&self, key: &Key) -> Result<(), TableError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(key)))
            .condition_expression("attribute_exists(pk)")
            .update_expression("SET #removing = :removing")
            .expression_attribute_names("#removing", schema::REMOVING)
            .expression_attribute_values(":removing", AttributeValue::Bool(true));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), TableError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(key)));
        delete.send().await?;
        Ok(())
    }
}
