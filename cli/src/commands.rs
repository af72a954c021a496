//! Subcommands of `hookkeeper`, one file or folder each.

pub(crate) mod consume;
pub(crate) mod consumers;
pub(crate) mod credentials;
pub(crate) mod deploy;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod guard;
pub(crate) mod heal;
pub(crate) mod listen;
pub(crate) mod mcp;
pub(crate) mod quarantine;
pub(crate) mod queue;
pub(crate) mod register;
pub(crate) mod replay;
pub(crate) mod republish;
pub(crate) mod rotate;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod ui;
pub(crate) mod unregister;
