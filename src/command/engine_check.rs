//! `serve --check --cluster`: whether the engine would take this relay, without a cluster being
//! begun.

use super::tracing;
use crate::cluster::engine::Engine;
use crate::cluster::{EngineFault, Incarnation};
use crate::reactor::{
    CloseReason, Config, Context, Garbled, Handler, Linux, Opened, ProcessFd, Timeout, Timer,
    Token, UnixSocket,
};
use crate::relay::cluster::{ClusterConfig, EngineAt};
use crate::relay::limits::ENGINE_ANSWER_TIME;
use crate::tls::Fault;

/// Rings when the engine has let too much time pass.
const LATE: Timer = Timer(0);

/// Why the relay would not join now.
pub(super) enum Obstacle {
    /// The engine does not take it.
    Fault(EngineFault),
    /// It cannot be reached; a relay waits for it.
    NotReached(String),
}

/// Asks each address of the engine in turn, until one answers.
pub(super) fn check(mut config: ClusterConfig) -> Result<(), Obstacle> {
    let begins = config.settings.begins.take().is_some();
    let linux = Linux::new().map_err(|errno| Obstacle::NotReached(errno.desc().to_owned()))?;
    let nobody = Obstacle::NotReached("its name has no address".to_owned());
    let mut probe = Probe { config, next: 0, asked: None, outcome: Err(nobody) };
    tracing::run(linux, &Config::default(), None, &mut probe, |cx, probe| probe.go_on(cx))
        .map_err(|errno| Obstacle::NotReached(errno.desc().to_owned()))?;
    match probe.outcome {
        Err(Obstacle::Fault(EngineFault::NoCluster)) if begins => Ok(()),
        outcome => outcome,
    }
}

/// A connection to the engine that asks what each begins with.
struct Probe {
    config: ClusterConfig,
    /// Which of the addresses comes next.
    next: usize,
    asked: Option<(Token, Engine)>,
    outcome: Result<(), Obstacle>,
}

impl Probe {
    /// Connects to the next address, if there is one.
    fn go_on(&mut self, cx: &mut Context) {
        self.asked = None;
        let Some(at) = self.config.engine.get(self.next) else { return cx.stop() };
        self.next += 1;
        let token = match at {
            EngineAt::Address(address) => cx.connect(*address),
            EngineAt::File(path) => match UnixSocket::connect(path) {
                Ok(socket) => cx.open(ProcessFd::Stream(socket)),
                Err(errno) => return self.not_reached(cx, errno.desc()),
            },
        };
        self.asked = Some((token, Engine::new(Incarnation([0; 16]), &self.config.settings)));
        cx.set_timer(LATE, Some(cx.now() + ENGINE_ANSWER_TIME));
    }

    fn not_reached(&mut self, cx: &mut Context, why: &str) {
        self.outcome = Err(Obstacle::NotReached(why.to_owned()));
        self.go_on(cx);
    }

    /// The connection is of no more use.
    fn lost(&mut self, cx: &mut Context, id: Token, why: &str) {
        if self.asked.as_ref().is_some_and(|(token, _)| *token == id) {
            cx.abort(id);
            self.not_reached(cx, why);
        }
    }
}

impl Handler for Probe {
    fn opened(&mut self, cx: &mut Context, id: Token, _how: Opened) {
        if let Some(make) = &self.config.tls {
            match make() {
                Some(engine) => cx.transform(id, engine),
                None => return self.lost(cx, id, "no TLS engine"),
            }
        }
        if let Some((_, engine)) = &mut self.asked {
            cx.send(id, &[&engine.take_output()]);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let Some((_, engine)) = self.asked.as_mut().filter(|(token, _)| *token == from) else {
            return bytes.len();
        };
        match engine.received(bytes) {
            Ok(()) if engine.is_ready() => self.outcome = Ok(()),
            Ok(()) => return bytes.len(),
            Err(fault) => self.outcome = Err(Obstacle::Fault(fault)),
        }
        cx.stop();
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        self.lost(cx, from, "it closed the connection");
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.lost(cx, from, &format!("TLS failed: {}", Fault::of(why)));
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, _timeout: Timeout) {
        self.lost(cx, id, "it took nothing for too long");
    }

    fn timer(&mut self, cx: &mut Context, _timer: Timer) {
        if let Some((token, _)) = &self.asked {
            self.lost(cx, *token, "it answered nothing for too long");
        }
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        match reason {
            CloseReason::Failed(errno) => self.lost(cx, id, errno.desc()),
            _ => self.lost(cx, id, "it closed the connection"),
        }
    }
}
