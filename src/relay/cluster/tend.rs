//! What a relay of a cluster does in each tick beside its users: connections to the engine, what
//! it answers, the lease, and names that it may have lost.

use nix::errno::Errno;

use super::{Asked, Cluster, Link, MovedPart, Relay, new_incarnation};
use crate::cluster::frames;
use crate::cluster::limits::RESTORED_A_CALL;
use crate::cluster::members::Wanted;
use crate::cluster::moving::{self, Taken};
use crate::cluster::names::{self, LeaseAnswer, LeaseStep, ReapAnswer, RestoreAnswer};
use crate::cluster::resp::Value;
use crate::cluster::{CallFault, EngineFault, Incarnation, letters as calls};
use crate::reactor::{CloseReason, Context, Time, Token};
use crate::relay::CLUSTER;
use crate::relay::event::Event;
use crate::relay::limits::{CLUSTER_LEASE_ENDS, RESTORE_AGAIN, RESTORE_PAUSE};

/// How a connection to the engine ends.
pub(super) enum Loss {
    /// For this reason of the engine's, or of ours.
    Fault(EngineFault),
    /// In any other way.
    Other(String),
}

impl Relay {
    /// Whether a source is a connection to the engine of the cluster.
    pub(in crate::relay) fn is_of_engine(&self, id: Token) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.owns(id))
    }

    /// A connection to the engine stands.
    pub(in crate::relay) fn engine_opened(&mut self, cx: &mut Context, id: Token) {
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(make) = &cluster.config.tls {
            match make() {
                Some(engine) => cx.transform(id, engine),
                None => return self.engine_lost(cx, id, &Loss::Other("no TLS engine".to_owned())),
            }
        }
        cluster.link(id).opened();
        cluster.link(id).flush(cx);
    }

    /// Bytes came from the engine.
    pub(in crate::relay) fn engine_sent(&mut self, cx: &mut Context, id: Token, bytes: &[u8]) {
        let Some(cluster) = &mut self.cluster else { return };
        if let Err(fault) = cluster.link(id).received(bytes, cx.now()) {
            self.engine_lost(cx, id, &Loss::Fault(fault));
        }
    }

    /// The engine says nothing more, or took nothing for too long.
    pub(in crate::relay) fn engine_ended(&mut self, cx: &mut Context, id: Token, why: &str) {
        self.engine_lost(cx, id, &Loss::Other(why.to_owned()));
    }

    /// A connection to the engine is gone, or could not be had.
    pub(in crate::relay) fn engine_closed(
        &mut self,
        cx: &mut Context,
        id: Token,
        reason: CloseReason,
    ) {
        let why = match reason {
            CloseReason::Failed(errno) => errno.desc().to_owned(),
            _ => "it closed the connection".to_owned(),
        };
        self.engine_lost(cx, id, &Loss::Other(why));
    }

    /// Gives a connection to the engine up. What was under way on it is made again, or has failed.
    pub(super) fn engine_lost(&mut self, cx: &mut Context, id: Token, loss: &Loss) {
        let Some(cluster) = &mut self.cluster else { return };
        let is_of_calls = cluster.calls.owns(id);
        // What was answered before counts.
        if is_of_calls {
            self.take_answers(cx);
        } else {
            self.take_reads(cx);
        }
        // One of those answers may have ended the connection.
        let Some(cluster) = self.cluster.as_mut().filter(|it| it.owns(id)) else { return };
        let Some((token, unanswered)) = cluster.link(id).lose(cx.now()) else { return };
        let attempts =
            if is_of_calls { cluster.calls.attempts() } else { cluster.reads.attempts() };
        cx.abort(token);
        if is_of_calls {
            cluster.next_address = cluster.next_address.wrapping_add(1);
            cluster.is_scanning = false;
        } else {
            cluster.reading = None;
        }
        // The other connection may have led to another engine.
        cluster.members.outdate();
        let lost: Vec<_> =
            unanswered.iter().filter_map(|ticket| cluster.under_way.remove(ticket)).collect();
        let is_final = match loss {
            Loss::Fault(fault) if !fault.may_pass() && !cluster.has_joined => {
                cluster.failure = Some(fault.clone());
                true
            }
            _ => false,
        };
        for asked in lost {
            self.call_lost(cx, asked, "the connection to the engine was lost");
        }
        if is_final {
            return cx.stop();
        }
        let Some(cluster) = &mut self.cluster else { return };
        let detail = match loss {
            Loss::Fault(fault) => fault.to_string(),
            Loss::Other(why) => format!("the connection to the engine was lost: {why}"),
        };
        // Each attempt fails in the same way, unless another engine answers now.
        let is_other = matches!(loss, Loss::Fault(_)) && cluster.told_loss != detail;
        if attempts == 0 || attempts == 1 && is_of_calls || is_other {
            self.log.tell(&Event::ClusterFailed { detail: &detail });
            cluster.told_loss = detail;
        }
        self.counters.engine_lost += 1;
    }

    /// A call will not be answered, or the engine did not take it.
    fn call_lost(&mut self, cx: &mut Context, asked: Asked, why: &str) {
        let Some(cluster) = &mut self.cluster else { return };
        match asked {
            Asked::Bind(id) | Asked::Claim(id, _) | Asked::Again(id) | Asked::Publish(id) => {
                cluster.to_claim.push_back(id);
            }
            Asked::Where(name) => self.not_sought(cx, &name),
            Asked::Letters(ticket, ask, since) => cluster.letters_lost(ticket, ask, why, since),
            Asked::Reap(dead) => {
                cluster.reaping.remove(&dead);
            }
            Asked::Part => cluster.is_scanning = false,
            Asked::Restore => cluster.restore_again(cx.now()),
            Asked::Lease { .. } => cluster.lease.unanswered(),
            Asked::Unbind(name) => cluster.to_unbind.push(name),
            Asked::Moved(part) => {
                self.part_moved(cx, part, Taken { count: 0, is_stopped: true });
            }
            Asked::Release => cluster.members.outdate(), // the next copy shows it
            // Each frame has a time of its own; the rest is done by the next call of its kind.
            _ => {}
        }
    }

    /// Does all that is due: called at the end of each tick, before rosters are sent.
    pub(in crate::relay) fn tend_cluster(&mut self, cx: &mut Context) {
        if self.cluster.is_none() {
            return;
        }
        self.give_up_late(cx);
        self.take_answers(cx);
        self.take_reads(cx);
        self.tend_lease(cx);
        self.claim_waiting(cx);
        self.settle_late(cx);
        let wall = self.log.wall();
        let Some(cluster) = &mut self.cluster else { return };
        cluster.go_on_copying(cx.now());
        cluster.expire_letters(cx.now(), wall);
        self.restore_some(cx);
        self.move_on(cx);
        self.ask_own_for_keys();
        self.let_some_go(cx);
        self.tell_news();
    }

    /// Hands over to the engine what this tick has gathered: called as its last step.
    pub(in crate::relay) fn leave_for_cluster(&mut self, cx: &mut Context) {
        if self.cluster.is_none() {
            return;
        }
        self.pass_on_far(cx);
        self.ask_for_far_letters(cx);
        let Some(cluster) = &mut self.cluster else { return };
        if cx.is_stopping() {
            cluster.end_lease(cx.now());
        }
        let connected = cluster.connect(cx);
        cluster.calls.flush(cx);
        cluster.reads.flush(cx);
        cx.set_timer(CLUSTER, cluster.due(cx.now()));
        if let Err(errno) = connected
            && cluster.calls.attempts() <= 1
        {
            let detail = format!("the engine cannot be reached: {}", errno.desc());
            self.log.tell(&Event::ClusterFailed { detail: &detail });
        }
    }

    /// Gives up connections on which the engine has answered nothing for too long.
    fn give_up_late(&mut self, cx: &mut Context) {
        let Some(cluster) = &mut self.cluster else { return };
        let late = [&cluster.calls, &cluster.reads].map(|link| link.token_if_late(cx.now()));
        for id in late.into_iter().flatten() {
            self.engine_ended(cx, id, "it answered nothing for too long");
        }
    }

    fn take_answers(&mut self, cx: &mut Context) {
        while let Some((ticket, answer)) =
            self.cluster.as_mut().and_then(|cluster| cluster.calls.next_answer())
        {
            let Some(cluster) = &mut self.cluster else { return };
            let Some(asked) = cluster.under_way.remove(&ticket) else { continue };
            match answer {
                Ok(value) => {
                    if let Err(wrong) = self.answered(cx, &asked, &value) {
                        // It was no answer.
                        self.call_lost(cx, asked, &wrong.to_string());
                        return self.distrust(cx, wrong);
                    }
                }
                Err(fault) => self.not_taken(cx, asked, fault),
            }
        }
    }

    /// The engine did not take one call.
    fn not_taken(&mut self, cx: &mut Context, asked: Asked, fault: CallFault) {
        self.counters.engine_refused += 1;
        let Some(cluster) = &mut self.cluster else { return };
        if !std::mem::replace(&mut cluster.is_told_refused, true) {
            self.log.tell(&Event::ClusterFailed { detail: &fault.to_string() });
        }
        match asked {
            Asked::Forward(at, first, count) => {
                let full = frames::ForwardAnswer::Full;
                self.forwarded_far(cx, (at, first, count), full);
            }
            Asked::Letters(ticket, ask, _) => {
                cluster.letters_refused(ticket, &ask, &fault.to_string());
            }
            // The engine's memory or disk needs time.
            Asked::Bind(id) | Asked::Claim(id, _) | Asked::Again(id) | Asked::Publish(id) => {
                self.claim_later(id);
            }
            asked => {
                // Each of these is followed by a renewal, and that perhaps by the same again.
                if let Asked::Lease { .. } | Asked::Part | Asked::Release = asked {
                    cluster.lease.pause((cluster.config.boot_time)());
                }
                if matches!(asked, Asked::Part) {
                    cluster.members.outdate();
                }
                self.call_lost(cx, asked, &fault.to_string());
            }
        }
    }

    /// Does what the answer to a call says.
    fn answered(
        &mut self,
        cx: &mut Context,
        asked: &Asked,
        value: &Value,
    ) -> Result<(), EngineFault> {
        match *asked {
            Asked::Lease { change, read } => {
                self.leased(cx, names::leased(value)?, (change, read));
            }
            Asked::Reap(dead) => self.reaped(cx, dead, names::reaped(value)?),
            Asked::Part => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.is_scanning = false;
                }
                let wrong = EngineFault::WrongAnswer { to: "HSCAN" };
                let page = frames::scanned(value).ok_or(wrong)?;
                self.scanned(cx, page);
            }
            Asked::Restore => {
                if let RestoreAnswer::Restored { released, others } = names::restored(value)? {
                    for name in released {
                        self.release_own(&name);
                    }
                    for name in others {
                        self.tell_conflict(&name);
                    }
                }
            }
            Asked::Bind(id) => self.bound_far(cx, id, names::bound(value)?),
            Asked::Claim(id, ref name) => self.claimed_far(cx, (id, name), names::claimed(value)?),
            Asked::Again(id) => self.claimed_again(cx, id, names::claimed(value)?),
            Asked::Publish(id) => self.published_far(id, names::published(value)?),
            Asked::Unbind(ref name) => {
                if let (false, Some(cluster)) = (names::unbound(value)?, &mut self.cluster) {
                    cluster.to_unbind.push(name.clone());
                }
            }
            Asked::Forward(at, first, count) => {
                self.forwarded_far(cx, (at, first, count), frames::forwarded(value)?);
            }
            Asked::Sweep => {
                frames::swept(value)?;
                if let Some(cluster) = &mut self.cluster {
                    cluster.is_sweeping = false;
                }
            }
            Asked::Where(ref name) => self.sought(cx, name, value)?,
            Asked::Expire => {
                let count = calls::expired(value)?.unwrap_or_default();
                if let Some(cluster) = &mut self.cluster {
                    cluster.letters_expired(count, cx.now());
                }
            }
            Asked::Letters(ticket, ref ask, _) => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.letters_answered(ticket, ask, value)?;
                }
            }
            Asked::Moved(ref part) => {
                let taken = match part {
                    MovedPart::Letters { .. } => moving::letters_taken(value)?,
                    MovedPart::Keys(_) => moving::keys_taken(value)?,
                };
                self.part_moved(cx, part.clone(), taken);
            }
            Asked::Release | Asked::Answers | Asked::Drain | Asked::Note => {}
        }
        Ok(())
    }

    /// What answers is no engine of ours: nothing that it says can be believed.
    fn distrust(&mut self, cx: &mut Context, fault: EngineFault) {
        let Some(id) = self.cluster.as_ref().and_then(|cluster| cluster.calls.token()) else {
            return;
        };
        self.engine_lost(cx, id, &Loss::Fault(fault));
    }

    // --- The lease ---

    fn tend_lease(&mut self, cx: &mut Context) {
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.lease.has_ended() {
            let own = std::mem::replace(&mut cluster.own, new_incarnation(&*self.notary));
            let was_held = cluster.lease.was_held();
            cluster.begin_anew();
            for at in cluster.outgoing.relays() {
                self.settle_gone(cx, at);
            }
            if was_held {
                let detail = format!("the lease of {own} has ended: another one is taken");
                self.log.tell(&Event::ClusterFailed { detail: &detail });
            }
        }
        let Some(cluster) = &mut self.cluster else { return };
        let boot = (cluster.config.boot_time)();
        let is_held = cluster.lease.is_held(boot);
        if cluster.has_joined && is_held == cluster.is_told_fenced {
            cluster.is_told_fenced = !is_held;
            self.log.tell(if is_held { &Event::ClusterJoined } else { &Event::ClusterFenced });
        }
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(fenced) = cluster.lease.fenced_at()
            && fenced + CLUSTER_LEASE_ENDS <= boot
            && !std::mem::replace(&mut cluster.is_alone, true)
        {
            cluster.members.drop_others(cluster.own);
        }
        let wants_copy =
            cluster.members.wanted() == Wanted::Beginning && cluster.lease.may_ask(boot);
        let step = cluster.lease.due(boot).or(match cluster.lease.fenced_at() {
            Some(_) if wants_copy => Some(LeaseStep::Renew),
            _ => None,
        });
        let (Some(step), Some(id)) = (step, cluster.calls.cluster().map(str::to_owned)) else {
            return;
        };
        let asked = Asked::Lease { change: cluster.members.number(), read: cluster.read_up_to };
        // An engine that has no epoch takes this one.
        let epoch = new_incarnation(&*self.notary).to_string();
        let call = names::lease(cluster.own, step, &id, &epoch);
        if cluster.call(asked, &call, cx.now()) {
            cluster.lease.sent(boot);
        }
    }

    /// The engine has answered for the lease. `known`: which changes the copy had when it was
    /// asked, and what was read by then; more may have come since on the other connection.
    fn leased(&mut self, cx: &mut Context, answer: LeaseAnswer, known: (u64, u64)) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.lease.answered(&answer, (cluster.config.boot_time)());
        let dead = match answer {
            LeaseAnswer::Held { epoch, change, inbox, dead, .. } => {
                if !std::mem::replace(&mut cluster.has_joined, true) {
                    let id = cluster.calls.cluster().map(str::to_owned);
                    if let Some(id) = &id {
                        (cluster.config.joined)(id);
                    }
                    cluster.config.settings.id = id;
                    self.log.tell(&Event::ClusterJoined);
                }
                (cluster.is_told_refused, cluster.is_alone) = (false, false);
                cluster.is_sweeping = false; // the engine may not have taken that call
                let later = std::mem::take(&mut cluster.later);
                cluster.to_claim.extend(later);
                let to_unbind = std::mem::take(&mut cluster.to_unbind);
                // An engine that lost its last seconds counts on from before: what was read was
                // read, and what came since and was passed over, its sender is told of.
                let (known_change, known_read) = known;
                if inbox < known_read {
                    cluster.read_up_to = inbox;
                    cluster.members.outdate();
                }
                let members = &mut cluster.members;
                if members.wanted() == Wanted::Beginning {
                    members.begin(&epoch, change);
                    cluster.restore_again(cx.now());
                    // Letters may have come of which nobody was told, or those in the boxes may
                    // have other numbers than before.
                    self.letters.takers.read_again();
                } else {
                    members.check(&epoch, change, known_change);
                }
                for name in to_unbind {
                    self.unbind_far(cx, &name);
                }
                dead
            }
            LeaseAnswer::OtherId => return self.distrust(cx, EngineFault::NoCluster),
            LeaseAnswer::Full => {
                let detail = "it has as many relays as it may";
                self.log.tell(&Event::ClusterFailed { detail });
                return;
            }
            LeaseAnswer::Ended | LeaseAnswer::Gone | LeaseAnswer::Exists => return,
        };
        for dead in dead {
            self.relay_died(cx, dead);
        }
    }

    /// Another relay has lost its lease: its users are gone, and their names are freed.
    fn relay_died(&mut self, cx: &mut Context, dead: Incarnation) {
        let Some(cluster) = &mut self.cluster else { return };
        if !cluster.reaping.insert(dead) {
            return;
        }
        cluster.members.drop_relay(dead);
        let call = names::reap(cluster.own, dead);
        if !cluster.call(Asked::Reap(dead), &call, cx.now()) {
            cluster.reaping.remove(&dead); // the next renewal tells it again
        }
        self.settle_gone(cx, dead);
    }

    fn reaped(&mut self, cx: &mut Context, dead: Incarnation, answer: ReapAnswer) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.reaping.remove(&dead);
        match answer {
            ReapAnswer::Reaped { left: 1.., .. } => self.relay_died(cx, dead),
            ReapAnswer::Reaped { names, .. } if names > 0 => {
                self.log.tell(&Event::RelayEnded { relay: dead });
            }
            _ => {}
        }
    }

    // --- Bound names that the engine may have lost ---

    /// Has the next of this relay's bound names restored, after a pause.
    fn restore_some(&mut self, cx: &Context) {
        let now = cx.now();
        let Some(cluster) = &mut self.cluster else { return };
        let Some((from, _)) = cluster.restoring.filter(|(_, at)| *at <= now) else { return };
        if !cluster.is_held() || !cluster.calls.has_room() {
            return;
        }
        let (names, next) = self.directory.bound_from(from, RESTORED_A_CALL);
        let call = names::restore(cluster.own, names);
        cluster.restoring = next.map(|next| (next, now + RESTORE_PAUSE));
        cluster.call(Asked::Restore, &call, now);
    }
}

impl Cluster {
    /// The connection `id`, which is one of the two.
    fn link(&mut self, id: Token) -> &mut Link {
        if self.calls.owns(id) { &mut self.calls } else { &mut self.reads }
    }

    /// Asks for connections where an attempt is due. Returns why there can be none now.
    fn connect(&mut self, cx: &mut Context) -> Result<(), Errno> {
        let now = cx.now();
        if self.failure.is_none() && self.calls.is_due(now) {
            let connection = self.new_connection(cx);
            self.calls.attempt(connection, now)?;
        }
        // The second goes where the first is: it would begin a cluster of its own elsewhere.
        if self.calls.is_ready() && self.reads.is_due(now) {
            let connection = self.new_connection(cx);
            self.reads.attempt(connection, now)?;
        }
        Ok(())
    }

    /// The lease has ended: the relay begins another life, and everything is claimed again.
    fn begin_anew(&mut self) {
        self.lease = self.lease.next_life();
        self.members.outdate();
        (self.read_up_to, self.undrained, self.is_scanning) = (0, 0, false);
        self.answers.clear();
    }

    /// Gives the lease back: the relay ends in good order, and nobody has to wait for that.
    fn end_lease(&mut self, now: Time) {
        if let Some(id) = self.calls.cluster().map(str::to_owned) {
            self.call(Asked::Note, &names::lease(self.own, LeaseStep::End, &id, ""), now);
        }
    }

    /// All bound names are to be restored, from the first one on.
    fn restore_again(&mut self, now: Time) {
        self.restoring = Some((0, now + RESTORE_AGAIN));
    }

    /// When something is to be done next, if nothing happens before.
    fn due(&self, now: Time) -> Option<Time> {
        let boot = (self.config.boot_time)();
        let from_now = |at: std::time::Duration| now + at.saturating_sub(boot);
        let ends = self.lease.fenced_at().map(|at| at + CLUSTER_LEASE_ENDS).filter(|at| *at > boot);
        let is_ready = self.calls.is_ready();
        let lease = self.lease.next(boot).filter(|at| is_ready || *at > boot).map(from_now);
        let moving = self.moving.due().filter(|_| self.takes_what_is_moved());
        let when_ready = [self.restoring.map(|(_, at)| at), Some(self.expire_at), moving];
        let when_ready = when_ready.into_iter().flatten().filter(|_| is_ready && self.is_held());
        let always = [
            self.calls.due(),
            self.reads.due().filter(|_| is_ready),
            lease,
            ends.map(from_now),
            self.outgoing.due(),
            self.find_due(),
        ];
        always.into_iter().flatten().chain(when_ready).min()
    }
}
