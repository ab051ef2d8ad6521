//! The copy of who is where, and what waits in the streams: how both are read from the engine, and
//! what comes of it.

use super::tend::Loss;
use super::{Asked, Cluster, Relay};
use crate::cluster::engine::Ticket;
use crate::cluster::frames::{self, Parcel, ParcelKind, Read, Stream};
use crate::cluster::members::{News, Wanted};
use crate::cluster::{EngineFault, Incarnation};
use crate::reactor::{Context, Time};
use crate::relay::event::Event;
use crate::relay::user_name::UserName;

impl Relay {
    /// A part of who is where has come.
    pub(super) fn scanned(&mut self, cx: &Context, page: frames::Page) {
        let own = page.names.iter().filter(|(_, place)| self.is_own(place.incarnation));
        let own: Vec<_> = own.map(|(name, place)| (name.clone(), place.session)).collect();
        for (name, session) in own {
            self.check_own(cx, &name, session);
        }
        let Some(cluster) = &mut self.cluster else { return };
        cluster.members.scanned(page);
        if matches!(cluster.members.wanted(), Wanted::Changes(_)) {
            self.compare_users();
        }
    }

    fn is_own(&self, incarnation: Incarnation) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.own == incarnation)
    }

    /// Takes what both streams brought.
    pub(super) fn take_reads(&mut self, cx: &mut Context) {
        while let Some((_, answer)) =
            self.cluster.as_mut().and_then(|cluster| cluster.reads.next_answer())
        {
            let Some(cluster) = &mut self.cluster else { return };
            let Some(asked_for) = cluster.reading.take() else { continue };
            let (own, link) = (cluster.own, cluster.reads.token());
            let loss = match answer.map(|value| frames::read(asked_for, &value)) {
                Ok(Some(read)) => {
                    self.read_far(cx, read, asked_for == own);
                    continue;
                }
                Ok(None) => Loss::Fault(EngineFault::WrongAnswer { to: "XREAD" }),
                // Asked again at once it would say the same: there is a pause before a connection.
                Err(fault) => Loss::Other(fault.to_string()),
            };
            if let Some(id) = link {
                self.engine_lost(cx, id, &loss);
            }
        }
    }

    /// Both streams were read. What was for another life of this relay is passed over, and so are
    /// frames that come too late: the others may have let its users go. All else holds also then:
    /// who was replaced while the relay was stopped is told when it goes on.
    fn read_far(&mut self, cx: &mut Context, read: Read, is_ours: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        let Read { parcels, changes, foreign } = read;
        let own = cluster.own;
        let held = changes.iter().filter_map(|change| Some((&change.name, change.place?)));
        let held = held.filter(|(_, place)| place.incarnation == own);
        let held: Vec<_> = held.map(|(name, place)| (name.clone(), place.session)).collect();
        let is_held = cluster.is_held();
        cluster.members.changed(changes);
        if let Some(last) = parcels.last().filter(|_| is_ours) {
            cluster.read_up_to = last.number;
            cluster.undrained += parcels.iter().map(Parcel::bytes).sum::<u64>();
            let call = frames::drain(own, last.number, cluster.undrained);
            if cluster.call(Asked::Drain, &call, cx.now()) {
                cluster.undrained = 0;
            }
        }
        for (name, session) in held {
            self.check_own(cx, &name, session);
        }
        for parcel in parcels {
            if is_ours && (is_held || parcel.kind != ParcelKind::Frames) {
                self.arrived(cx, &parcel);
            }
        }
        for stream in [Stream::Inbox, Stream::Changes] {
            let ids = foreign.iter().filter(|(of, _)| *of == stream).map(|(_, id)| id.clone());
            let ids: Vec<_> = ids.collect();
            if !ids.is_empty() && (is_ours || stream == Stream::Changes) {
                self.sweep(cx, stream, &ids);
            }
        }
    }

    /// Has entries deleted that no relay has written. Until that is done nothing is read.
    fn sweep(&mut self, cx: &Context, stream: Stream, ids: &[String]) {
        for id in ids {
            self.tell_foreign(stream, id);
        }
        let Some(cluster) = &mut self.cluster else { return };
        cluster.is_sweeping = true;
        let call = frames::sweep(cluster.own, stream, cluster.read_up_to, ids);
        cluster.call(Asked::Sweep, &call, cx.now());
    }

    /// Something in a stream is not understood, so no relay has written it: that is counted each
    /// time, and told once, because there may be many.
    pub(super) fn tell_foreign(&mut self, stream: Stream, id: &str) {
        self.counters.foreign_entries += 1;
        let Some(cluster) = &mut self.cluster else { return };
        if std::mem::replace(&mut cluster.is_told_foreign, true) {
            return;
        }
        let stream = &stream.key(cluster.own);
        self.log.tell(&Event::ForeignEntry { stream, id });
    }

    /// Lets some of those go who went all at once. The others have the next ticks.
    pub(super) fn let_some_go(&mut self, cx: &mut Context) {
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.members.let_go_some(cluster.config.copy.let_go_a_tick) {
            cx.tick_again();
        }
        let leaves_out = cluster.members.leaves_out();
        if !std::mem::replace(&mut cluster.is_told_left_out, leaves_out) && leaves_out {
            let detail = format!(
                "more than {} users are connected: those beyond are missing in rosters, and the \
                 engine is asked for each frame to them",
                cluster.config.copy.names
            );
            self.log.tell(&Event::ClusterFailed { detail: &detail });
        }
    }

    /// Lets the roster know who came to any relay, and who went.
    pub(super) fn tell_news(&mut self) {
        while let Some(news) = self.cluster.as_mut().and_then(|it| it.members.next_news()) {
            let Some(cluster) = &mut self.cluster else { return };
            match news {
                News::Came(name) => {
                    let name = UserName::new(&name);
                    let joined = self.roster.came(&name);
                    cluster.everybody.came(&name, joined);
                }
                News::Left(name) => {
                    cluster.everybody.went(&name);
                    self.roster.went(UserName::new(&name));
                }
            }
        }
    }
}

impl Cluster {
    /// Asks for the next part of the copy, and for what waits in the streams.
    pub(super) fn go_on_copying(&mut self, now: Time) {
        let wanted = self.members.wanted();
        if let Wanted::Part(cursor) = wanted
            && !self.is_scanning
            && self.ask(Asked::Part, |calls, ticket| {
                calls.ask(ticket, "HSCAN", &frames::scan(cursor), now)
            })
        {
            self.is_scanning = true;
        }
        if self.reading.is_none() && !self.is_sweeping && self.is_held() {
            let changes = match wanted {
                Wanted::Changes(number) => Some(number),
                _ => None,
            };
            let command = frames::read_streams(self.own, self.read_up_to, changes);
            if self.reads.ask(Ticket(0), "XREAD", &command, now).is_ok() {
                self.reading = Some(self.own);
            }
        }
    }
}
