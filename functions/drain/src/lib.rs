//! The drain: moves what waits in the spool into the table. It knows no provider; the items are finished.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{StreamExt, stream};
use store::{Message, Table};

/// Puts a batch of the spool's messages into the table, and says which are to be delivered again: those that the table
/// does not take, those whose parts are not there yet, and those that are not ours to throw away.
pub async fn drain(table: &Table, event: SqsEvent) -> SqsBatchResponse {
    let messages = event.records.len();
    let placed = stream::iter(event.records).map(|message| async {
        let id = message.message_id.clone().unwrap_or_default();
        (id, place(table, message).await)
    });
    let placed: Vec<_> = placed.buffer_unordered(messages.max(1)).collect().await;
    let mut response = SqsBatchResponse::default();
    response.set_failures(placed.into_iter().filter(|(_, placed)| placed.is_none()).map(|(id, _)| id));
    response
}

async fn place(table: &Table, message: SqsMessage) -> Option<()> {
    let item = Message::received(message.body?).item().ok()?;
    table.parts(&item).await.ok()??;
    table.put(item).await.ok()?;
    Some(())
}
