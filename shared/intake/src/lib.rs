//! The path of a delivery: gate, read, keep, answer. The only crate that names `lambda_http`.
//!
//! A function's `main` is [`run`] with its [`Provider`]. There is one door, [`Receiver::answer`], from API Gateway's event
//! to its response: Lambda, the local server, the samples and the tests all come in by it.

mod answer;
mod door;
mod gate;
mod provider;
mod receiver;
mod run;

pub use answer::Verdict;
pub use door::Payload;
pub use gate::{Admitted, Gate, GateError};
pub use provider::{Credentials, Provider};
pub use receiver::{Receiver, StartError};
pub use run::run;
