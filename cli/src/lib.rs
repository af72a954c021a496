//! The `hookkeeper` command as a library: a whole Hookkeeper on this machine.

pub mod dev;
pub mod template;
