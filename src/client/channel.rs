//! The channel to the relay: TLS that is bound to the relay's key, TLS with a certificate that is
//! checked (`tls://`), or no TLS.
//!
//! The client never falls back to another channel than the chosen one. It remembers each relay that
//! it had a bound channel with (`known_marks`). With such a relay it tries again after a failure of
//! TLS, and it refuses a connection without TLS.

use super::marks::Mark;
use super::pins::{MemoryPins, PinBook, PinFile, Pins};
use super::{Ending, core::ClientCore};
use crate::reactor::{Context, Token, Transform};
use crate::tls::Fault;

/// Makes the engine of a new connection; `None` if that failed.
pub type MakeEngine = Box<dyn Fn() -> Option<Box<dyn Transform>>>;

/// The chosen channel, and the relays that are remembered to speak TLS.
pub struct Channel {
    kind: Kind,
    /// `known_marks`.
    marks: PinBook<Mark>,
}

enum Kind {
    Plain,
    /// TLS, bound to the relay's key.
    Bound(MakeEngine),
    /// TLS to a proxy whose certificate is checked.
    Checked(MakeEngine),
}

impl Default for Channel {
    /// Plain, and nothing is remembered.
    fn default() -> Self {
        Self::plain(Box::new(MemoryPins::default()))
    }
}

impl Channel {
    /// No TLS: for a relay that speaks none.
    pub fn plain(marks: Box<dyn Pins>) -> Self {
        Self { kind: Kind::Plain, marks: PinBook::new(marks) }
    }

    /// TLS, bound to the relay's key.
    pub fn bound(engine: MakeEngine, marks: Box<dyn Pins>) -> Self {
        Self { kind: Kind::Bound(engine), marks: PinBook::new(marks) }
    }

    /// TLS to a proxy whose certificate the engine checks. The channel is not bound.
    pub fn checked(engine: MakeEngine) -> Self {
        let marks = PinBook::new(Box::new(MemoryPins::default()));
        Self { kind: Kind::Checked(engine), marks }
    }

    pub(super) const fn is_bound(&self) -> bool {
        matches!(self.kind, Kind::Bound(_))
    }

    /// Whether the client may connect to `relay` in this way.
    pub(super) fn check(
        &mut self,
        core: &mut ClientCore,
        relay: &str,
    ) -> Result<(), (Ending, String)> {
        let is_known = self.knows(core, relay)?; // damaged lines are told now, at the start
        if !matches!(self.kind, Kind::Plain) || !is_known {
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
        let (Kind::Bound(make) | Kind::Checked(make)) = &self.kind else { return true };
        make().is_some_and(|engine| {
            cx.transform(id, engine);
            true
        })
    }

    /// Remembers a relay that has proven its key over a bound channel.
    pub(super) fn remember(
        &mut self,
        core: &mut ClientCore,
        relay: &str,
    ) -> Result<(), (Ending, String)> {
        if self.knows(core, relay)? {
            return Ok(());
        }
        let mark = |file: &mut PinFile<Mark>| {
            file.set(Mark::tls(relay));
        };
        self.marks.change(mark).map_err(|why| not_kept(&why))
    }

    /// The relay has closed the connection `id`. Returns as [`failed`] does.
    ///
    /// [`failed`]: Self::failed
    pub(super) fn hung_up(
        &mut self,
        cx: &Context,
        core: &mut ClientCore,
        id: Option<Token>,
        relay: &str,
    ) -> Result<String, (Ending, String)> {
        let has_agreed = id.is_some_and(|id| cx.binding(id).is_some());
        if !self.is_bound() || has_agreed || self.knows(core, relay)? {
            return Ok("the relay hung up".to_owned());
        }
        Err(no_tls(relay, "it took the connection and hung up without an answer", NO_RELAY))
    }

    /// TLS failed on a connection to `relay`. `Ok` says why, and the client tries again; `Err` ends
    /// it. With a relay that is known to speak TLS it tries again, because a machine on the way may
    /// have caused the failure.
    pub(super) fn failed(
        &mut self,
        core: &mut ClientCore,
        relay: &str,
        fault: Fault,
    ) -> Result<String, (Ending, String)> {
        if fault.is_about_certificate() {
            let detail = format!("{relay} shows a certificate that is refused: {fault}");
            return Err((Ending::NoTls, detail));
        }
        if matches!(self.kind, Kind::Checked(_)) {
            return match fault {
                Fault::NoTls | Fault::Version | Fault::NothingInCommon => {
                    Err(no_tls(relay, &seen(fault), NO_PROXY))
                }
                _ => Ok(format!("TLS failed: {fault}")),
            };
        }
        if self.knows(core, relay)? {
            return Ok(format!("TLS failed, which the relay has spoken before: {fault}"));
        }
        let advice = if fault == Fault::NoTls { NO_RELAY } else { OTHER_TLS };
        Err(no_tls(relay, &seen(fault), advice))
    }

    /// Whether `relay` is remembered. What is wrong with the file becomes a warning.
    fn knows(&mut self, core: &mut ClientCore, relay: &str) -> Result<bool, (Ending, String)> {
        if self.marks.refresh().map_err(|why| not_kept(&why))? {
            let damaged: Vec<_> = self.marks.file().damaged().collect();
            core.name_damaged_lines("known_marks", &damaged);
        }
        Ok(self.marks.file().find(relay).is_some())
    }
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
