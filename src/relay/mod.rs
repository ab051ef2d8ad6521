//! The relay.
mod database;
pub mod sqlite;
pub mod store;
