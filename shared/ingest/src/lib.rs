//! The path of a delivery: gate, read, keep, answer. The only crate that names `lambda_http`.
//!
//! A function's `main` is [`run`] with its [`Provider`]. There is one door, [`Receiver::answer`], from API Gateway's event
//! to its response: Lambda, the local server, the samples and the tests all come in by it.

mod auth;
mod lambda;
mod log;
mod outcome;
mod receiver;
mod request;

pub use auth::{Authenticated, Authenticator, CredentialsError};
pub use lambda::run;
pub use outcome::Verdict;
pub use receiver::{Receiver, StartError};
pub use request::Payload;
