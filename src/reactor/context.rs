//! What a handler can ask of the loop.
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Alarm, Time, Token};

/// The loop's side of the contract, lent to the handler with each call.
pub struct Context {}

/// A descriptor of the process itself that can be opened as a source.
#[derive(Clone, Debug)]
pub enum Source {
    /// Standard input: a pipe, a terminal, a socket or a regular file.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// The signals of [`Signal`](super::Signal), told through [`Handler::signal`](super::Handler::signal).
    Signals,
    /// Wake-ups from another thread: each shows as `received` (with bytes that mean nothing).
    Wake(super::Waker),
}

#[allow(unused_variables, clippy::unused_self)]
impl Context {
    /// The instant of this tick.
    pub fn now(&self) -> Time {
        todo!()
    }
    /// Starts to listen. `opened` or `closed` is told of the token in this tick or the next.
    pub fn listen(&mut self, at: SocketAddr) -> Token {
        todo!()
    }
    /// Starts to connect; `opened` tells when it is established, `closed` that it failed.
    pub fn connect(&mut self, to: SocketAddr) -> Token {
        todo!()
    }
    /// Opens a source of the process itself.
    pub fn open(&mut self, source: Source) -> Token {
        todo!()
    }
    /// Queues `parts`, joined, for `to`. They leave at the end of the tick. Nothing happens where `to` is gone or
    /// was closed.
    pub fn send(&mut self, to: Token, parts: &[&[u8]]) {
        todo!()
    }
    /// Queues bytes that go to many, without copying them.
    pub fn share(&mut self, to: Token, bytes: &Rc<[u8]>) {
        todo!()
    }
    /// Bytes queued for `to` that the kernel has not taken.
    pub fn queued(&self, to: Token) -> usize {
        todo!()
    }
    /// Bytes queued for all together.
    pub fn queued_in_all(&self) -> usize {
        todo!()
    }
    /// Ends `id` after what is queued has been flushed; nothing more is received from it.
    pub fn close(&mut self, id: Token) {
        todo!()
    }
    /// Ends `id` at once; what is queued is dropped.
    pub fn abort(&mut self, id: Token) {
        todo!()
    }
    /// Stops reading from `id` until `resume`. What was not consumed is shown again then.
    pub fn pause(&mut self, id: Token) {
        todo!()
    }
    /// Reads from `id` again.
    pub fn resume(&mut self, id: Token) {
        todo!()
    }
    /// Starts (`true`) or ends (`false`) the wait for `Deadline::Expected` of `id`.
    pub fn expect(&mut self, id: Token, expected: bool) {
        todo!()
    }
    /// Sets one of the handler's clocks, or stops it.
    pub fn alarm(&mut self, alarm: Alarm, at: Option<Time>) {
        todo!()
    }
    /// Ends `Reactor::run` after this tick.
    pub fn stop(&mut self) {
        todo!()
    }
}
