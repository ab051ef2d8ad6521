//! End-to-end encrypted messages through one hand-written epoll loop.
pub mod command;
pub mod crypto;
pub mod limits;
pub mod reactor;
pub mod wire;
