//! The `hookkeeper` command, run as a process.

mod connection;
mod consume;
mod credentials;
mod deploy;
mod dev;
mod doctor;
mod erase;
mod events;
mod guard;
mod hands;
mod heal;
mod listen;
mod mcp;
mod parts;
mod process;
mod replay;
mod republish;
mod send;
mod stack;
mod ui;
mod webhooks;

/// The days around the arrival of all deliveries here.
const SPAN: [&str; 4] = ["--since", "2026-11-20", "--until", "2026-11-23"];
