//! What the relay reads again while it runs: settings, the log file, the certificate, released
//! names.

use super::event::{Event, Level};
use super::supervisor::ServiceState;
use super::{Relay, RelayConfig};
use crate::reactor::Context;

/// Settings that were read again.
#[derive(Debug)]
pub struct Reloaded {
    /// Of these, the relay takes what can change while it runs; see [`Relay::reload`].
    pub config: RelayConfig,
    /// How much is logged.
    pub level: Level,
    /// The options that have changed and take effect at the next start only.
    pub at_restart: Vec<String>,
}

/// Reads the settings again, or says why they cannot be used; none where they come from no file.
pub type ReadSettings = Box<dyn FnMut() -> Result<Option<Reloaded>, String>>;

impl Relay {
    /// From now on settings are read again by `read`.
    pub fn reload_with(&mut self, read: ReadSettings) {
        self.settings = Some(read);
    }

    /// Opens the log file again, and reads the settings, the certificate and the released names
    /// again. What cannot be read leaves what was in force.
    pub fn reload(&mut self, cx: &mut Context) {
        if self.is_ending() {
            return; // the supervisor was told that it ends
        }
        self.tell_supervisor(ServiceState::Reloading);
        self.log.reopen(cx);
        self.reload_settings();
        self.reload_tls();
        // The store answers with the names later (`next_released`).
        self.store.look_for_released();
        self.tell_supervisor(ServiceState::Ready);
        self.await_supervisor(cx);
    }

    fn reload_settings(&mut self) {
        let Some(read) = &mut self.settings else { return };
        let Reloaded { config, level, at_restart } = match read() {
            Ok(Some(reloaded)) => reloaded,
            Ok(None) => return,
            Err(detail) => return self.log.tell(&Event::SettingsNotReloaded { detail: &detail }),
        };
        // The tables were made for so many connections, and users were told the longest frame.
        self.config = RelayConfig {
            max_connections: self.config.max_connections,
            max_frame: self.config.max_frame,
            outbox_common: self.config.outbox_common,
            ..config
        };
        self.rates.count_loopback(config.rates_loopback);
        self.log.set_level(level);
        self.log.tell(&Event::SettingsReloaded);
        for option in &at_restart {
            self.log.tell(&Event::NeedsRestart { option });
        }
    }
}
