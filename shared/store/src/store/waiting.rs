//! What is not kept yet of a delivery.

use crate::{Message, item::Item};
use std::sync::OnceLock;

/// A record that is not kept yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The parts that the table does not have.
    pub(super) parts: Vec<Piece>,
    /// The item itself, which comes after all of its parts.
    pub(super) head: Piece,
}

/// An item that the table does not have.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) item: Item,
    message: OnceLock<Message>,
    /// The spool has it. A record of which the spool has a part only may still be put into the table, and then whole.
    pub(super) is_spooled: bool,
}

impl Waiting {
    /// A record of its items, the last one being the item itself.
    pub(super) fn new(mut items: Vec<Item>) -> Option<Self> {
        let head = Piece::new(items.pop()?);
        let parts = items.into_iter().map(Piece::new).collect();
        Some(Self { parts, head })
    }

    /// Makes the messages of all pieces.
    pub(super) fn encode(&self) {
        for piece in self.parts.iter().chain([&self.head]) {
            piece.message();
        }
    }

    pub(super) fn not_spooled(&mut self) -> impl Iterator<Item = &mut Piece> {
        let pieces = self.parts.iter_mut().chain([&mut self.head]);
        pieces.filter(|piece| !piece.is_spooled)
    }

    /// Whether the spool has all that the table does not have.
    pub(super) fn is_spooled(&self) -> bool {
        self.head.is_spooled && self.parts.iter().all(|part| part.is_spooled)
    }
}

impl Piece {
    fn new(item: Item) -> Self {
        Self { item, message: OnceLock::new(), is_spooled: false }
    }

    /// Its message, made once.
    pub(super) fn message(&self) -> &Message {
        self.message.get_or_init(|| Message::of(&self.item))
    }
}
