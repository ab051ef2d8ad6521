//! Clients of version 2 as they are, with sessions, letters and receipts, over several relays: what a
//! user is shown and told, whatever goes wrong between the relays.
//!
//! A client is killed and started again, and its machine is suspended while the user goes on with
//! another one: the relay of the first one finds out when it hears of the second (`replaced`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use sealwax::client::{Channel, Ending, Event};
use sealwax::reactor::{Config, Reactor, Time};
use sealwax::wire::RosterMode;

use crate::Outcome;
use crate::agree;
use crate::client::{Process, Told, User, is_honest};
use crate::ledger::{Fate, Ledger};
use crate::support::kernel::Kernel;
use crate::trace::Trace;
use crate::world::{RELAYS, World};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const STEPS: usize = 60;
/// How long everything has, at most, to come right: clients wait longer and longer before they try
/// again.
const CALM: Duration = Duration::from_mins(30);

#[derive(Default)]
pub(crate) struct Clients {
    all: Vec<User>,
    pub(crate) ledger: Ledger,
    /// Runs of clients whose machines do nothing any more, and are still connected.
    suspended: Vec<Process>,
    /// When clients start again that ended.
    starts: Vec<(Time, usize)>,
    /// How often something happened after which texts may come in another order.
    pub(crate) disturbed: u64,
}

impl Clients {
    /// Those that would run now.
    pub(crate) fn ready(&self, now: Time) -> impl Iterator<Item = usize> {
        let would_run = move |user: &User| {
            user.process.as_ref().is_some_and(|it| it.is_nudged || would_run(it, now))
        };
        let starts = move |place: usize| {
            let is_due = |(at, of): &(Time, usize)| *of == place && *at <= now;
            self.starts.iter().any(is_due)
        };
        let all = self.all.iter().enumerate();
        all.filter(move |(place, user)| would_run(user) || starts(*place)).map(|(place, _)| place)
    }

    /// When the first one wakes by itself.
    pub(crate) fn due(&self) -> Option<Time> {
        let running = self.all.iter().filter_map(|user| user.process.as_ref()?.reactor.due());
        running.chain(self.starts.iter().map(|(at, _)| *at)).min()
    }
}

fn would_run(process: &Process, now: Time) -> bool {
    process.kernel.is_ready() || process.reactor.due().is_some_and(|due| due <= now)
}

impl World {
    fn start_client(&mut self, place: usize) {
        let (kernel, seed): (Kernel, u64) = (self.base.process(), self.dice.number());
        let first = self.dice.below(RELAYS);
        let relays = (0..RELAYS).map(|it| self.relays[(first + it) % RELAYS].at);
        let relays: Vec<SocketAddr> = relays.collect();
        let reactor = Reactor::new(kernel.clone(), &Config::default());
        self.clients.disturbed += 1;
        let user = &mut self.clients.all[place];
        user.start(kernel, reactor, relays, Channel::plain(), seed);
        let name = user.name.clone();
        self.note(|| format!("{name} starts, first at relay {first}"));
    }

    /// The client's process ends at once.
    fn kill_client(&mut self, place: usize) {
        drop(self.clients.all[place].process.take());
        let name = self.clients.all[place].name.clone();
        self.note(|| format!("{name}'s process ends"));
    }

    /// The client's machine does nothing any more; its user goes on with another one.
    fn suspend_client(&mut self, place: usize) {
        let Some(process) = self.clients.all[place].process.take() else { return };
        let name = self.clients.all[place].name.clone();
        self.note(|| format!("{name}'s machine is suspended"));
        self.clients.suspended.push(process);
        self.start_client(place);
    }

    fn say_text(&mut self, place: usize, to: &str) {
        let Clients { all, ledger, disturbed, .. } = &mut self.clients;
        let (from, run) = (all[place].name.clone(), all[place].run);
        let Some(process) = &mut all[place].process else { return };
        let (id, text) = ledger.compose(&from, to, 10);
        let taken = process.probe.client.say(to, &text, Some(id.clone()));
        process.is_nudged = true;
        if taken.is_ok() {
            ledger.said(id.clone(), text, (&from, run, to), *disturbed);
        }
        self.note(|| format!("{from} says {id}: {taken:?}"));
    }

    pub(crate) fn client_turn(&mut self, place: usize) {
        let now = self.now();
        let is_due = |(at, of): &(Time, usize)| *of == place && *at <= now;
        if self.clients.starts.iter().any(is_due) {
            self.clients.starts.retain(|(_, of)| *of != place);
            if self.clients.all[place].process.is_none() {
                self.start_client(place);
            }
            return;
        }
        let user = &mut self.clients.all[place];
        let Some(process) = &mut user.process else { return };
        process.is_nudged = false;
        process.reactor.tick(&mut process.probe, None).expect("a wait is never refused");
        let (name, run) = (user.name.clone(), user.run);
        let (told, leaves) = (std::mem::take(&mut process.probe.told), process.leaves);
        let mut is_over = None;
        for told in told {
            self.note(|| format!("  {name} is told: {told:?}"));
            let ledger = &mut self.clients.ledger;
            match told {
                Told::Text { from, text } => {
                    ledger.shown(&name, run, &from, &text, self.clients.disturbed);
                }
                Told::Event(Event::Delivered { id, .. }) => ledger.told(&id, Fate::Delivered),
                Told::Event(Event::Failed { id, code, .. }) => ledger.told(&id, Fate::Failed(code)),
                Told::Event(Event::Relayed { id, .. }) => ledger.relayed(&id),
                Told::Event(Event::Stored { id, .. }) => ledger.stored(&id),
                Told::Event(Event::Closed { code, .. }) => is_over = Some(code),
                Told::Event(Event::Warning { code, detail }) => {
                    assert!(is_honest(code), "{name} suspects somebody: {code:?}, {detail}");
                    self.clients.disturbed += 1;
                }
                Told::Event(Event::Registered { .. } | Event::Progress(_)) => {
                    self.clients.disturbed += 1;
                }
                Told::Event(_) => {}
            }
        }
        if let Some(code) = is_over {
            // An engine that was emptied has forgotten who came last.
            let fine = [Ending::DirectoryFull, Ending::NameInUse, Ending::Replaced];
            assert!(leaves || fine.contains(&code), "{name} gives up: {code:?}");
            self.count(&format!("client: {code:?}"));
            self.kill_client(place);
            let pause = self.dice.millis(100, 2000);
            self.clients.starts.push((self.now() + pause, place));
        }
    }
}

/// One seed with clients.
pub(crate) fn play(seed: u64, trace: Trace) -> Outcome {
    let mut world = World::new(seed, trace);
    world.pass(Duration::from_secs(1));
    let per_mille = *world.dice.pick(&[0, 100, 300]);
    world.may_lose = world.dice.chance(300);
    for (number, name) in (0..).zip(NAMES) {
        let roster = *world.dice.pick(&[RosterMode::Full, RosterMode::Delta, RosterMode::None]);
        world.clients.all.push(User::new(number, name, roster));
        world.start_client(usize::from(number));
    }
    for _ in 0..STEPS {
        act(&mut world);
        world.go_on(per_mille);
    }
    calm(&mut world);
    crate::outcome(world)
}

fn act(world: &mut World) {
    let (one, other) = (world.dice.below(NAMES.len()), world.dice.below(NAMES.len()));
    match world.dice.below(20) {
        0 => {
            world.kill_client(one);
            let pause = world.dice.millis(0, 4000);
            let at = world.now() + pause;
            world.clients.starts.push((at, one));
        }
        1 => world.suspend_client(one),
        _ if one != other => world.say_text(one, NAMES[other]),
        _ => {}
    }
}

/// Everything comes right: all are there, and everybody knows what became of each text.
fn calm(world: &mut World) {
    for place in 0..NAMES.len() {
        let now = world.now();
        if world.clients.all[place].process.is_none() {
            world.clients.starts.push((now, place));
        }
    }
    agree::calm(world);
    world.clients.suspended.clear();
    let until = world.now() + CALM;
    while let Some(open) = unsettled(world) {
        assert!(world.now() < until, "it never came right: {open}");
        world.pass(Duration::from_secs(5));
    }
}

/// What has not come right yet.
fn unsettled(world: &World) -> Option<String> {
    let everybody: BTreeSet<String> = NAMES.map(str::to_owned).into();
    for user in &world.clients.all {
        let name = &user.name;
        let Some(process) = &user.process else { return Some(format!("{name} is not there")) };
        let pending = process.probe.client.pending_counts();
        let open = world.clients.ledger.open(name, user.run, &everybody);
        if !pending.connected || pending.receipts > 0 || !open.is_empty() {
            return Some(format!("{name}: {pending:?}, {open:?}"));
        }
        let users = process.probe.client.users().into_iter().flatten();
        let view: BTreeSet<String> = users.map(str::to_owned).collect();
        if user.wants_roster() && view != everybody {
            return Some(format!("{name} sees {view:?}"));
        }
    }
    None
}
