//! The epoll loop.
mod context;
mod handler;
mod time;
mod token;
pub use context::{Context, Source};
pub use handler::{Alarm, CloseReason, Deadline, Handler, Opened, Signal};
pub use time::Time;
pub use token::Token;
/// Wakes the loop from another thread.
#[derive(Clone, Debug)]
pub struct Waker(std::sync::Arc<nix::sys::eventfd::EventFd>);
impl Waker {
    /// A new one.
    pub fn new() -> nix::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
        Ok(Self(std::sync::Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }
    /// Wakes the loop. Never blocks.
    pub fn wake(&self) {
        let _ = self.0.write(1);
    }
}
