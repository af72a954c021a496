//! The guardian: its decisions, its passes over a provider's API, and its state in the table.

mod state;
