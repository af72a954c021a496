//! The functions: parsers, authentication, stored records and log lines.

mod api;
mod changes;
mod consumer;
mod corpus;
mod drain;
mod form;
mod gate;
mod identity;
mod properties;
mod relay;
mod secrecy;
mod stored_form;
mod tls;
