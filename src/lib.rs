//! End-to-end encrypted messages through one hand-written epoll loop.
pub mod client;
pub mod command;
pub mod crypto;
pub mod home;
pub mod limits;
pub mod load;
pub mod reactor;
pub mod relay;
pub mod tokens;
pub mod trace;
pub mod wire;
