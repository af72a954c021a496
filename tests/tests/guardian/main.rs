//! The guardian: its decisions, its passes over a provider's API, and its state in the table.

mod amocrm;
mod decision;
mod function;
mod pipedrive;
mod properties;
mod recovery;
mod scene;
mod state;
