//! The engine of a cluster in the world: what lies between it and a relay is the world's.

use std::time::Duration;

use sealwax::cluster::Incarnation;
use sealwax::cluster::engine::{Engine, Settings, Ticket};
use sealwax::cluster::frames;
use sealwax::cluster::names::{self, Claim, ClaimAnswer, LeaseAnswer, LeaseStep};
use sealwax::cluster::resp::Value;
use sealwax::relay::RelayConfig;
use sealwax::wire::Fingerprint;

use crate::dice::Dice;
use crate::support::kernel::Peer;
use crate::trace::Trace;
use crate::weather::Weather;
use crate::world::{ENGINE, World};

const OWN: Incarnation = Incarnation([1; 16]);

/// A connection to the engine of the world.
struct Connection {
    engine: Engine,
    peer: Peer,
    /// What was to be written and found no room.
    unsent: Vec<u8>,
}

impl Connection {
    fn new(world: &World) -> Self {
        let settings = Settings {
            user: None,
            password: None,
            database: 0,
            id: None,
            relay_key: "a-key".to_owned(),
            begins: Some("a-cluster".to_owned()),
        };
        let (engine, peer) = (Engine::new(OWN, &settings), world.kernel.dial(ENGINE));
        Self { engine, peer, unsent: Vec::new() }
    }

    fn run(&mut self, world: &mut World, until: impl Fn(&Engine) -> bool) {
        while !until(&self.engine) {
            self.unsent.extend(self.engine.take_output());
            let sent = self.peer.send(&self.unsent);
            self.unsent.drain(..sent);
            world.run(Duration::from_millis(1));
            self.engine.received(&self.peer.receive_all()).expect("it answers");
        }
    }

    fn answer(&mut self, world: &mut World) -> Value {
        self.run(world, Engine::is_empty);
        let (_, answer) = self.engine.next_answer().expect("an answer");
        answer.expect("it is taken")
    }
}

#[test]
fn the_world_can_have_an_engine() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut delays = dice.fork();
        let weather = Weather::new(dice.fork());
        let mut world = World::new(dice, weather, Trace::default(), RelayConfig::default());
        world.kernel.set_buffer(*world.dice.pick(&[2, 64]) * 1024);
        world.kernel.set_latency(move || delays.millis(0, 20));
        world.start_engine();
        world.run(Duration::ZERO);
        let mut connection = Connection::new(&world);
        connection.run(&mut world, Engine::is_ready);
        let lease = names::lease(OWN, LeaseStep::Take, "a-cluster", "an-epoch");
        connection.engine.call(Ticket(1), &lease).expect("there is room");
        let answer = names::leased(&connection.answer(&mut world));
        assert!(matches!(answer, Ok(LeaseAnswer::Held { change: 0, .. })), "{answer:?}");
        let fp = Fingerprint([1; 32]);
        let (name, session, pem, prekey) = ("alice", 1, "a text", None);
        let claim = Claim { name, session, fp: &fp, pem, prekey, again: false };
        connection.engine.call(Ticket(2), &names::claim(OWN, &claim)).expect("there is room");
        let answer = names::claimed(&connection.answer(&mut world));
        assert_eq!(answer, Ok(ClaimAnswer::Taken));
        let command = frames::read_streams(OWN, 0, Some(0));
        connection.engine.ask(Ticket(3), "XREAD", &command).expect("there is room");
        let read = frames::read(OWN, &connection.answer(&mut world)).expect("a read");
        assert_eq!(read.changes.last().map(|change| &*change.name), Some("alice"));
        // Nothing more comes: the engine lets the next one wait, and says so in the end.
        let begun = world.now();
        let command = frames::read_streams(OWN, 0, Some(1));
        connection.engine.ask(Ticket(4), "XREAD", &command).expect("there is room");
        assert_eq!(connection.answer(&mut world), Value::Null);
        assert!(world.now().since(begun) >= sealwax::cluster::limits::READ_WAIT);
        // The lease ends by the clock of the world.
        world.run(sealwax::cluster::limits::LEASE);
        let renewal = names::lease(OWN, LeaseStep::Renew, "a-cluster", "an-epoch");
        connection.engine.call(Ticket(5), &renewal).expect("there is room");
        let answer = names::leased(&connection.answer(&mut world));
        assert_eq!(answer, Ok(LeaseAnswer::Gone));
    }
}
