//! The files of the repository agree with each other: code, documentation, template and schema.

mod abuse;
mod docs;
mod layout;
mod schema;
mod template;
