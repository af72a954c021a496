//! What must hold across providers: the tests of this crate, and what they share.

pub mod simulation;
