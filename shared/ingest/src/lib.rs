//! The path of a delivery: authenticate, parse, store, respond. In a function, only this crate uses
//! `lambda_http`.
//!
//! A function's `main` calls [`run`] with its [`Provider`](providers::Provider). Every caller goes
//! through [`Receiver::answer`], which turns API Gateway's event into its response: Lambda, the
//! local server, the samples and the tests.

mod auth;
mod lambda;
mod log;
mod outcome;
mod receiver;
mod request;

pub use auth::{Authenticated, Authenticator, CredentialsError, Pass};
pub use lambda::run;
pub use outcome::Verdict;
pub use receiver::{Receiver, StartError};
pub use request::Payload;
