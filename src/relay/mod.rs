//! The relay.
mod database;
pub mod event;
pub mod journal;
pub mod sqlite;
pub mod store;
mod utc;
