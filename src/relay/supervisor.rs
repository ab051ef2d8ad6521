//! Who has started this process and watches it, such as systemd (`sd_notify(3)`).
//!
//! Knows what is said to it and when; how it is said is up to whoever starts the relay
//! (`src/command/notify.rs`).

use std::time::Duration;

use super::limits::STORE_PATIENCE;
use super::{Relay, SUPERVISOR};
use crate::reactor::Context;

/// Takes what the relay says of itself. No call may wait.
pub trait Supervisor {
    /// The relay is in this state from now on; `status` is a line for people.
    fn tell(&mut self, state: ServiceState, status: &str);

    /// How often it wants to hear [`ServiceState::Alive`].
    fn interval(&self) -> Duration;
}

/// What the relay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It serves: all listeners stand, or what was to be reloaded is reloaded.
    Ready,
    /// It reads its settings, its certificate and the released names again.
    Reloading,
    /// It accepts nobody any more, and ends.
    Stopping,
    /// The loop ticks and the store answers.
    Alive,
}

impl Relay {
    /// From now on `supervisor` is told what the relay is doing.
    pub fn report_to(&mut self, supervisor: Box<dyn Supervisor>) {
        self.supervisor = Some(supervisor);
    }

    pub(super) fn tell_supervisor(&mut self, state: ServiceState) {
        let doing = if self.is_ending() { "ending" } else { "serving" };
        let connections = self.peers.len();
        let Some(supervisor) = &mut self.supervisor else { return };
        supervisor.tell(state, &format!("{doing}, {connections} connections"));
    }

    /// Sets the timer for [`tell_alive`](Self::tell_alive).
    pub(super) fn await_supervisor(&self, cx: &mut Context) {
        let next = self.supervisor.as_ref().map(|it| cx.now() + it.interval());
        cx.set_timer(SUPERVISOR, next);
    }

    /// Says that the relay is alive, unless the store is stuck.
    pub(super) fn tell_alive(&mut self, cx: &mut Context) {
        self.await_supervisor(cx);
        self.watch_store(cx.now());
        if self.store_silence(cx.now()) <= STORE_PATIENCE {
            self.tell_supervisor(ServiceState::Alive);
        }
    }
}
