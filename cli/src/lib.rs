//! Library of the `hookkeeper` command: a local Hookkeeper ([`dev`]), and the table schema in the
//! SAM template ([`template`]).

pub mod dev;
pub mod known_credentials;
pub mod template;
