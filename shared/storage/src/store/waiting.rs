//! What is not kept yet of a delivery.

use crate::{Message, schema::Item};
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

    /// What is sent first: the parts that the spool does not have, or the item itself, where the table has all of its parts.
    pub(super) fn before_its_head(&mut self) -> Vec<&mut Piece> {
        if self.parts.is_empty() {
            return vec![&mut self.head];
        }
        self.parts
            .iter_mut()
            .filter(|part| !part.is_spooled)
            .collect()
    }

    /// What is sent then: the item itself, where the spool has all the parts that the table does not have.
    pub(super) fn head_after_its_parts(&mut self) -> Option<&mut Piece> {
        let is_ready = !self.parts.is_empty() && self.parts.iter().all(|part| part.is_spooled);
        is_ready.then_some(&mut self.head)
    }

    /// Whether the spool has all that the table does not have.
    pub(super) fn is_spooled(&self) -> bool {
        self.head.is_spooled && self.parts.iter().all(|part| part.is_spooled)
    }
}

impl Piece {
    fn new(item: Item) -> Self {
        Self {
            item,
            message: OnceLock::new(),
            is_spooled: false,
        }
    }

    /// Its message, made once.
    pub(super) fn message(&self) -> &Message {
        self.message.get_or_init(|| Message::of(&self.item))
    }
}
