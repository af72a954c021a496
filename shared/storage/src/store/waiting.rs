//! The records of a delivery that are not stored yet.

use crate::{Message, schema::Item};
use models::Timestamp;
use std::sync::OnceLock;

/// A record that is not stored yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The chunks that are not in the table.
    pub(super) chunks: Vec<Piece>,
    /// The item itself. It is stored after all of its chunks.
    pub(super) head: Piece,
    /// When its delivery arrived, by API Gateway's clock.
    pub(super) arrival: Timestamp,
}

/// An item that is not in the table.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) item: Item,
    message: OnceLock<Message>,
    /// Whether it is in the fallback queue. A record with only some of its chunks in the queue may
    /// still be put into the table, and then with all of them.
    pub(super) is_queued: bool,
}

impl Waiting {
    /// Creates a record from its items. The last one is the item itself.
    pub(super) fn new(mut items: Vec<Item>, arrival: Timestamp) -> Option<Self> {
        let head = Piece::new(items.pop()?);
        let chunks = items.into_iter().map(Piece::new).collect();
        Some(Self {
            chunks,
            head,
            arrival,
        })
    }

    /// Encodes the messages of all pieces.
    pub(super) fn encode(&self) {
        for piece in self.chunks.iter().chain([&self.head]) {
            piece.message();
        }
    }

    /// The first pieces to send: the chunks that are not in the fallback queue, or the item itself
    /// if the table has all of its chunks.
    pub(super) fn before_its_head(&mut self) -> Vec<&mut Piece> {
        if self.chunks.is_empty() {
            return vec![&mut self.head];
        }
        self.chunks
            .iter_mut()
            .filter(|chunk| !chunk.is_queued)
            .collect()
    }

    /// The next piece to send: the item itself, once each of its chunks is in the table or in the
    /// fallback queue.
    pub(super) fn head_after_its_chunks(&mut self) -> Option<&mut Piece> {
        let is_ready = !self.chunks.is_empty() && self.chunks.iter().all(|chunk| chunk.is_queued);
        is_ready.then_some(&mut self.head)
    }

    /// Whether every piece that is not in the table is in the fallback queue.
    pub(super) fn is_queued(&self) -> bool {
        self.head.is_queued && self.chunks.iter().all(|chunk| chunk.is_queued)
    }
}

impl Piece {
    fn new(item: Item) -> Self {
        Self {
            item,
            message: OnceLock::new(),
            is_queued: false,
        }
    }

    /// The message of the piece. It is encoded once.
    pub(super) fn message(&self) -> &Message {
        self.message.get_or_init(|| Message::from_item(&self.item))
    }
}
