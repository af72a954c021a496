//! The path of a delivery: authenticate, parse, store, respond. In a function, only this crate uses
//! `lambda_http`.
//!
//! A function's `main` calls [`run`] with its [`Provider`](providers::Provider). Every caller goes
//! through [`Receiver::answer`], which turns API Gateway's event into its response: Lambda, the
//! local server, the samples and the tests.

mod auth;
mod lambda;
mod log;
mod receiver;
mod request;
mod verdict;

pub use auth::{Authenticated, Authenticator, CredentialsError, LABEL_FORM, is_label};
pub use lambda::run;
pub use receiver::{Receiver, StartError};
pub use request::{Payload, Request};
pub use verdict::Verdict;
