//! What must hold across providers: the tests of this crate, and what they share.

pub mod kept;
pub mod proxy;
pub mod request;
pub mod runtime_api;
pub mod sqs;
pub mod world;
