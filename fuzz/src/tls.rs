//! `tls`: whatever a connection begins with has one reading, however it is cut; and what was sealed
//! and changed on the way does not open.

use std::io::IoSlice;

use sealwax::reactor::{Garbled, Transform};
use sealwax::tls::{ClientTls, Engines, Hello, ServerTls};

type Engine = Box<dyn Transform>;

/// The most memory that an engine says to hold for what is within, in bytes: one record as it came
/// and one as it was opened.
const MOST: usize = 40 * 1024;

/// The first byte chooses what the rest is: the first bytes of a connection, or what happens to
/// sealed bytes on their way.
pub fn tls(input: &[u8]) {
    let [form, content @ ..] = input else { return };
    if form % 2 == 0 { first_bytes(content) } else { on_the_way(content) }
}

fn server() -> Engine {
    let Ok(tls) = ServerTls::self_signed() else { panic!("no certificate") };
    tls.engine().unwrap_or_else(|| panic!("no engine"))
}

fn client() -> Engine {
    let Ok(tls) = ClientTls::bound() else { panic!("no settings") };
    tls.engine().unwrap_or_else(|| panic!("no engine"))
}

/// What is whole stays whole, and what is refused stays refused; an engine that is given any of it
/// goes on or ends, and says at once what it holds.
fn first_bytes(content: &[u8]) {
    let mut before = Hello::Partial;
    for end in 1..=content.len().min(2000) {
        let now = Hello::look(&content[..end]);
        assert!(before == Hello::Partial || before == now, "{before:?}, then {now:?} at {end}");
        before = now;
    }
    let mut engine = server();
    let _ = give(&mut engine, content, &mut Vec::new());
}

/// Two ends have agreed. A byte says how much is sealed, two say which byte of it is changed and
/// how; nothing opens but what was sealed, in order.
fn on_the_way(content: &[u8]) {
    let (mut client, mut server) = (client(), server());
    let mut none = Vec::new();
    for _ in 0..2 {
        let wire = seal(&mut client, b"");
        assert_eq!(give(&mut server, &wire, &mut none), Ok(()));
        let wire = seal(&mut server, b"");
        assert_eq!(give(&mut client, &wire, &mut none), Ok(()));
    }
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for step in content.chunks_exact(3).take(16) {
        let plain = vec![step[0]; 1 + usize::from(step[0]) * 70];
        let mut wire = seal(&mut client, &plain);
        sent.extend(plain);
        let place = usize::from(step[1]) * wire.len() / 256;
        wire[place] ^= step[2];
        let opened = give(&mut server, &wire, &mut came);
        assert!(sent.starts_with(&came), "what opened was not sealed");
        if step[2] == 0 {
            assert!(opened.is_ok() && came == sent);
        } else if opened.is_err() {
            return; // an engine that has failed is asked no more
        }
        if came != sent {
            return; // a length that was made longer waits for more
        }
    }
}

fn seal(engine: &mut Engine, plain: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    assert_eq!(engine.seal(&[IoSlice::new(plain)], &mut wire), plain.len());
    wire
}

/// Hands `wire` over, and keeps what it becomes.
fn give(engine: &mut Engine, mut wire: &[u8], came: &mut Vec<u8>) -> Result<(), Garbled> {
    let mut plain = [0; 1000];
    loop {
        let step = engine.open(wire, &mut plain)?;
        assert!(step.memory <= MOST, "{} bytes are held", step.memory);
        wire = &wire[step.taken..];
        came.extend_from_slice(&plain[..step.filled]);
        if !step.has_more && wire.is_empty() {
            return Ok(());
        }
        assert!(step.taken + step.filled > 0, "it stands still");
    }
}
