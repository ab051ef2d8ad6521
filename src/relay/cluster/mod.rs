//! This relay as one of several: what they keep in common lies in an engine, a Redis or Valkey
//! (`src/cluster` has what lies there, and the calls; `docs/cluster.md` is for operators).
//!
//! A relay that belongs to a cluster does all that it does alone, and in five places more:
//!
//! - A name is *claimed* in the engine before its connection becomes a user (`claims.rs`), and
//!   released there when it leaves.
//! - A frame for a user who is not here goes to the relay that has it (`frames.rs`; `seek.rs` where
//!   that is not known yet). What a tick gathered for one relay is one call, and so is what became
//!   of what came from it.
//! - The roster lists everybody (`everybody.rs`), as the copy of who is where says (`copy.rs`).
//! - Keys of users who are not here are looked up in the engine, and letters are kept there
//!   (`letters.rs`); what the relay had of both before it joined is moved there (`moving.rs`).
//! - Its *lease* in the engine is renewed (`tend.rs`). A relay that cannot do so *fences itself*
//!   before its lease ends: it takes no names and sends nothing to other relays, because they may
//!   have let its users go. Its own users go on writing to each other.
//!
//! It has two connections to the engine (`link.rs`), which are sources of the loop like any other:
//! on one, calls leave and answers come; on the other it waits for what other relays have for it.
//! When one is lost it is opened again, and what was under way is asked again where that changes
//! nothing, or counts as failed. Then the copy is read anew, and the relay compares: names of the
//! copy that no connection here holds are released, and users whose names are not in it claim them
//! again. So nothing has to be remembered of what went wrong.

mod claims;
mod copy;
mod everybody;
mod frames;
mod letters;
mod link;
mod moving;
mod outgoing;
mod parcel;
mod seek;
mod tend;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use self::claims::Stage;
use self::everybody::Everybody;
use self::letters::FarLetters;
use self::link::Link;
use self::moving::{MovedPart, Moving};
use self::outgoing::Outgoing;
use self::parcel::AnswersDraft;
use self::seek::Seeking;
use super::Relay;
use super::boxes::LetterLimits;
use super::letter_store::LetterAsk;
use super::limits::{CLUSTER_QUEUE, LET_GO_A_TICK};
use super::user_name::UserName;
use crate::cluster::engine::{Engine, NotTaken, Settings, Ticket};
use crate::cluster::lease::Lease;
use crate::cluster::limits::{MAX_MEMBERS, READ_WAIT};
use crate::cluster::members::Members;
use crate::cluster::script::Call;
use crate::cluster::{EngineFault, Incarnation, Place};
use crate::crypto::Notary;
use crate::reactor::{Context, ProcessFd, Time, Token, Transform, UnixSocket};

/// What a relay has to know to belong to a cluster.
pub struct ClusterConfig {
    /// Where the engine is; these are tried in turn.
    pub engine: Vec<EngineAt>,
    /// What is brought to each connection.
    pub settings: Settings,
    /// Where the engine of TLS of each connection comes from, if it speaks TLS.
    pub tls: Option<MakeTls>,
    /// Time since any fixed start, by a clock that goes on while the machine is suspended
    /// (`CLOCK_BOOTTIME`).
    pub boot_time: Box<dyn Fn() -> Duration>,
    /// How much of the copy of who is where is kept and changed.
    pub copy: CopyLimits,
    /// What is kept of letters.
    pub letters: LetterLimits,
    /// Is told the id of the cluster when the relay has joined it.
    pub joined: Box<dyn Fn(&str)>,
}

/// Limits of the copy of who is where.
#[derive(Clone, Copy, Debug)]
pub struct CopyLimits {
    /// Names that it has, beside those of this relay's own users.
    pub names: usize,
    /// Names that are looked at in one tick where many users have gone at once.
    pub let_go_a_tick: usize,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { names: MAX_MEMBERS, let_go_a_tick: LET_GO_A_TICK }
    }
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAt {
    /// At an address of the network.
    Address(SocketAddr),
    /// At a socket in the file system.
    File(PathBuf),
}

/// Makes an engine of TLS, if that can be made.
pub type MakeTls = Box<dyn Fn() -> Option<Box<dyn Transform>>>;

/// What the relay knows of the others.
pub(super) struct Cluster {
    config: ClusterConfig,
    own: Incarnation,
    lease: Lease,
    /// Whether a lease was ever held.
    has_joined: bool,
    /// The lease has ended for certain: users at other relays were let go.
    is_alone: bool,
    /// Whether the operator was told that the lease is not held.
    is_told_fenced: bool,
    /// What the operator was told last of a lost connection.
    told_loss: String,
    /// Whether the operator was told that the engine refused a call, since the last renewal.
    is_told_refused: bool,
    /// Whether the operator was told that something else writes to the engine.
    is_told_foreign: bool,
    members: Members,
    /// Whether the operator was told that names are missing in the copy.
    is_told_left_out: bool,
    everybody: Everybody,
    /// For calls.
    calls: Link,
    /// For what waits in the streams.
    reads: Link,
    tickets: u64,
    under_way: BTreeMap<Ticket, Asked>,
    /// Which of the addresses comes next.
    next_address: usize,
    /// Of the question that waits on the second connection: for whom, and whether it asks for
    /// changes.
    reading: Option<Incarnation>,
    /// The number of the last parcel that was read.
    read_up_to: u64,
    /// Bytes of parcels that were read and are still counted as waiting.
    undrained: u64,
    /// Foreign entries are being deleted: a read would find them again.
    is_sweeping: bool,
    is_scanning: bool,
    /// Connections that wait for their name, and what is missing.
    claims: BTreeMap<Token, Stage>,
    /// Those, and users, whose next call is to be made. Some may be gone.
    to_claim: VecDeque<Token>,
    /// Those for whom the engine could do nothing now.
    later: Vec<Token>,
    /// Those whose prekeys were published lately, and when. Some may be gone.
    published: VecDeque<(Token, Time)>,
    /// Names that were released and are bound in the engine still.
    to_unbind: Vec<String>,
    seeking: Seeking,
    outgoing: Outgoing,
    /// What became of frames that other relays sent.
    answers: BTreeMap<Incarnation, AnswersDraft>,
    /// Relays whose names are being freed.
    reaping: BTreeSet<Incarnation>,
    letters: FarLetters,
    /// The next bound name that is to be restored, and when; none once all are.
    restoring: Option<(usize, Time)>,
    /// Letters from before this relay joined.
    moving: Moving,
    expire_at: Time,
    /// Why it cannot go on, and nothing changes by waiting.
    failure: Option<EngineFault>,
}

/// What a call was for.
enum Asked {
    /// The lease; the number of the last change that the copy had then, and of the last parcel that
    /// was read.
    Lease {
        change: u64,
        read: u64,
    },
    Reap(Incarnation),
    /// A part of who is where.
    Part,
    Restore,
    Bind(Token),
    /// A name for a connection that waits for it.
    Claim(Token, UserName),
    /// A name for a user who has had it.
    Again(Token),
    Release,
    Publish(Token),
    /// A name that the operator has released.
    Unbind(String),
    /// Something of which nothing is to be known.
    Note,
    /// Frames for a relay: the number of the first one, and how many.
    Forward(Incarnation, u64, u32),
    Answers,
    Drain,
    /// Entries that no relay has written are to be deleted.
    Sweep,
    Expire,
    /// Letters or a key from before this relay joined.
    Moved(MovedPart),
    /// Where a user is for whom frames wait.
    Where(String),
    /// Something about letters, under the ticket of who asks, and since when.
    Letters(u64, LetterAsk, Time),
}

/// What is seen of the cluster from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Which life of this relay it is: the others know it by this.
    pub incarnation: Incarnation,
    /// The lease is held.
    pub is_joined: bool,
    /// Both connections to the engine stand.
    pub is_connected: bool,
    /// Users at all relays, as far as is known.
    pub users: usize,
    /// All users at all relays are known. Where they are too many, those beyond are missing in
    /// rosters, and the engine is asked for each frame to them.
    pub lists_all: bool,
    /// Frames for other relays that were not answered.
    pub frames: usize,
    /// Letters from before the relay joined that are still in its own store.
    pub letters_left: u64,
    /// It refuses no letters any more because of those, and the engine knows all letter keys.
    pub takes_letters: bool,
}

impl Cluster {
    pub(super) fn new(config: ClusterConfig, own: Incarnation) -> Self {
        Self {
            own,
            lease: Lease::default(),
            has_joined: false,
            is_alone: false,
            is_told_fenced: false,
            told_loss: String::new(),
            is_told_refused: false,
            is_told_foreign: false,
            members: Members::with_room(config.copy.names),
            is_told_left_out: false,
            everybody: Everybody::default(),
            calls: Link::new(Duration::ZERO),
            reads: Link::new(READ_WAIT),
            tickets: 0,
            under_way: BTreeMap::new(),
            next_address: 0,
            reading: None,
            read_up_to: 0,
            undrained: 0,
            is_sweeping: false,
            is_scanning: false,
            claims: BTreeMap::new(),
            to_claim: VecDeque::new(),
            later: Vec::new(),
            published: VecDeque::new(),
            to_unbind: Vec::new(),
            seeking: Seeking::default(),
            outgoing: Outgoing::default(),
            answers: BTreeMap::new(),
            reaping: BTreeSet::new(),
            letters: FarLetters::default(),
            restoring: None,
            moving: Moving::default(),
            expire_at: Time::default(),
            failure: None,
            config,
        }
    }

    /// Whether a source is one of the two connections.
    pub(super) fn owns(&self, id: Token) -> bool {
        self.calls.owns(id) || self.reads.owns(id)
    }

    /// Everybody at all relays.
    pub(super) const fn everybody(&self) -> &Everybody {
        &self.everybody
    }

    /// Whether names may be taken and frames sent to other relays.
    fn is_held(&self) -> bool {
        self.lease.is_held((self.config.boot_time)())
    }

    fn state(&self, letters_left: u64) -> ClusterState {
        ClusterState {
            incarnation: self.own,
            is_joined: self.is_held(),
            is_connected: self.calls.is_ready() && self.reads.is_ready(),
            users: self.everybody.len(),
            lists_all: !self.members.leaves_out(),
            frames: self.outgoing.len(),
            letters_left,
            takes_letters: !self.moving.refuses_letters() && !self.moving.has_keys_left(),
        }
    }

    /// Whether something may be sent to other relays now.
    fn reaches_others(&self, cx: &Context) -> bool {
        let queued = self.calls.queued(cx) + self.outgoing.gathered();
        queued < CLUSTER_QUEUE && self.calls.has_room() && self.is_held()
    }

    /// Makes a call. Returns whether it was taken.
    fn call(&mut self, asked: Asked, call: &Call, now: Time) -> bool {
        self.ask(asked, |calls, ticket| calls.call(ticket, call, now))
    }

    /// Asks the engine in this way, under a new ticket. Returns whether it was taken.
    fn ask(
        &mut self,
        asked: Asked,
        how: impl FnOnce(&mut Link, Ticket) -> Result<(), NotTaken>,
    ) -> bool {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let is_taken = how(&mut self.calls, ticket).is_ok();
        if is_taken {
            self.under_way.insert(ticket, asked);
        }
        is_taken
    }

    /// Makes a call for a connection, or puts the connection in line again.
    fn call_or_wait(&mut self, asked: Asked, id: Token, call: &Call, now: Time) {
        if !self.call(asked, call, now) {
            self.to_claim.push_back(id);
        }
    }

    /// A connection to the engine, the next of its addresses in turn.
    fn new_connection(&self, cx: &mut Context) -> Result<(Token, Engine), Errno> {
        let place = self.next_address % self.config.engine.len().max(1);
        let token = match self.config.engine.get(place).ok_or(Errno::EDESTADDRREQ)? {
            EngineAt::Address(address) => cx.connect(*address),
            EngineAt::File(path) => cx.open(ProcessFd::Stream(UnixSocket::connect(path)?)),
        };
        Ok((token, Engine::new(self.own, &self.config.settings)))
    }

    /// Where one of the connections here is.
    fn place(&self, id: Token, version2: bool) -> Place {
        Place { incarnation: self.own, session: id.to_bits(), version2 }
    }
}

/// A random one.
fn new_incarnation(notary: &dyn Notary) -> Incarnation {
    let mut own = [0; 16];
    notary.random(&mut own);
    Incarnation(own)
}

impl Relay {
    /// From now on this relay belongs to a cluster. To be called before
    /// [`start`](Self::start).
    pub fn join(&mut self, config: ClusterConfig) {
        let own = new_incarnation(&*self.notary);
        self.cluster = Some(Box::new(Cluster::new(config, own)));
    }

    /// How the relay stands in its cluster, if it belongs to one.
    pub fn cluster_state(&self) -> Option<ClusterState> {
        let letters_left = self.store.waiting().map_or(0, |waiting| waiting.letters);
        self.cluster.as_deref().map(|cluster| cluster.state(letters_left))
    }

    /// Why the relay could not join its cluster, where the loop was stopped because of that.
    pub fn cluster_failure(&self) -> Option<&EngineFault> {
        self.cluster.as_ref()?.failure.as_ref()
    }

    /// The id of the cluster that the engine belongs to, once it was asked.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster.as_ref()?.calls.cluster()
    }
}
