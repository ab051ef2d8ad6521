//! The channel to the relay: TLS that is bound to the relay's key, TLS with a certificate that is
//! checked (`tls://`), or no TLS.
//!
//! The client never falls back to another channel than the chosen one. It remembers each relay that
//! it had a bound channel with (`known_marks`). With such a relay it tries again after a failure of
//! TLS, and it refuses a connection without TLS.

use super::marks::Mark;
use super::{Ending, core::ClientCore};
use crate::reactor::{Context, Token, Transform};
use crate::tls::Fault;

/// Makes the engine of a new connection; `None` if that failed.
pub type MakeEngine = Box<dyn Fn() -> Option<Box<dyn Transform>>>;

/// The chosen channel.
pub struct Channel(Kind);

enum Kind {
    Plain,
    /// TLS, bound to the relay's key.
    Bound(MakeEngine),
    /// TLS to a proxy whose certificate is checked.
    Checked(MakeEngine),
}

impl Channel {
    /// No TLS: for a relay that speaks none.
    pub const fn plain() -> Self {
        Self(Kind::Plain)
    }

    /// TLS, bound to the relay's key.
    pub fn bound(engine: MakeEngine) -> Self {
        Self(Kind::Bound(engine))
    }

    /// TLS to a proxy whose certificate the engine checks. The channel is not bound.
    pub fn checked(engine: MakeEngine) -> Self {
        Self(Kind::Checked(engine))
    }

    pub(super) const fn is_bound(&self) -> bool {
        matches!(self.0, Kind::Bound(_))
    }

    /// Whether the client may connect to `relay` in this way.
    pub(super) fn check(&self, core: &mut ClientCore, relay: &str) -> Result<(), (Ending, String)> {
        if matches!(self.0, Kind::Checked(_)) {
            return Ok(());
        }
        let is_known = knows(core, relay)?; // damaged lines are told now, at the start
        if self.is_bound() || !is_known {
            return Ok(());
        }
        let detail = format!(
            "{relay} is known to speak TLS, so nothing is sent to it in the clear: leave --plain \
             away, or, if you know why it has to be, run '{} untrust {relay}' first",
            core.keys
        );
        Err((Ending::NoTls, detail))
    }

    /// Gives a new connection its engine. Returns false if that could not be made.
    pub(super) fn begin(&self, cx: &mut Context, id: Token) -> bool {
        let (Kind::Bound(make) | Kind::Checked(make)) = &self.0 else { return true };
        make().is_some_and(|engine| {
            cx.transform(id, engine);
            true
        })
    }

    /// Remembers a relay that has proven its key over a bound channel.
    pub(super) fn remember(
        &self,
        core: &mut ClientCore,
        relay: &str,
    ) -> Result<(), (Ending, String)> {
        if !self.is_bound() || knows(core, relay)? {
            return Ok(());
        }
        core.marks.change(|file| file.set(Mark::tls(relay))).map_err(|why| not_kept(&why))
    }

    /// The relay has closed the connection `id`. Returns as [`failed`] does.
    ///
    /// [`failed`]: Self::failed
    pub(super) fn hung_up(
        &self,
        cx: &Context,
        core: &mut ClientCore,
        id: Option<Token>,
        relay: &str,
    ) -> Result<String, (Ending, String)> {
        let has_agreed = id.is_some_and(|id| cx.binding(id).is_some());
        if !self.is_bound() || has_agreed || knows(core, relay)? {
            return Ok("the relay hung up".to_owned());
        }
        Err(no_tls(relay, "it took the connection and hung up without an answer", NO_RELAY))
    }

    /// TLS failed on a connection to `relay`. `Ok` says why, and the client tries again; `Err` ends
    /// it. With a relay that is known to speak TLS it tries again, because a machine on the way may
    /// have caused the failure.
    pub(super) fn failed(
        &self,
        core: &mut ClientCore,
        relay: &str,
        fault: Fault,
    ) -> Result<String, (Ending, String)> {
        if fault.is_about_certificate() {
            let detail = format!("{relay} shows a certificate that is refused: {fault}");
            return Err((Ending::NoTls, detail));
        }
        if matches!(self.0, Kind::Checked(_)) {
            return match fault {
                Fault::NoTls | Fault::Version | Fault::NothingInCommon => {
                    Err(no_tls(relay, &seen(fault), NO_PROXY))
                }
                _ => Ok(format!("TLS failed: {fault}")),
            };
        }
        if knows(core, relay)? {
            return Ok(format!("TLS failed, which the relay has spoken before: {fault}"));
        }
        let advice = if fault == Fault::NoTls { NO_RELAY } else { OTHER_TLS };
        Err(no_tls(relay, &seen(fault), advice))
    }
}

/// Whether `relay` is remembered to speak TLS.
fn knows(core: &mut ClientCore, relay: &str) -> Result<bool, (Ending, String)> {
    core.refresh_marks().map_err(|why| not_kept(&why))?;
    Ok(core.marks.file().find(relay).is_some())
}

/// What to do where nobody speaks TLS.
const NO_RELAY: &str = "It is full, or another program, or a relay that speaks none: check the \
    host and the port. Try --plain only if you know that it is yours; then names and addressees \
    travel in the clear";
/// What to do where somebody speaks TLS, but no relay does it in this way.
const OTHER_TLS: &str = "It is another program, or a proxy: check the host and the port. A proxy \
    before your relay has to speak TLS 1.3, and is reached with --relay tls://HOST:PORT";
/// What to do where no proxy answers.
const NO_PROXY: &str = "Check the host and the port; a proxy has to speak TLS 1.3 there. A relay \
    without a proxy is reached without tls:// in front";

/// What was seen of who answers at the address.
fn seen(fault: Fault) -> String {
    match fault {
        Fault::NoTls => "it answers in the clear".to_owned(),
        Fault::Version => "it speaks TLS, but not TLS 1.3".to_owned(),
        Fault::NothingInCommon => "it takes no algorithm of ours, or its certificate has a key of \
            a kind that is not supported, such as one on P-521"
            .to_owned(),
        _ => fault.to_string(),
    }
}

fn no_tls(relay: &str, seen: &str, advice: &str) -> (Ending, String) {
    (Ending::NoTls, format!("{relay} does not answer in TLS 1.3 ({seen}). {advice}"))
}

fn not_kept(why: &str) -> (Ending, String) {
    (Ending::TrustFile, format!("which relays speak TLS cannot be remembered: {why}"))
}
