//! What the engine's memory takes for a name, a user and a letter.

use sealwax::cluster::Incarnation;
use sealwax::cluster::script::Call;

use crate::engine::{Link, Server, ratio};
use crate::users;

const LETTER_BYTES: usize = 1024;
/// Letters of one box, where there are several: more of a sender find no room.
const IN_A_BOX: usize = 16;
/// Boxes that one sender writes to.
const BOXES_A_SENDER: usize = 32;

/// All of it, with each of these numbers.
pub(crate) fn all(counts: &[usize]) {
    println!("\nthe engine's memory, bytes each:");
    for &count in counts {
        let Some(server) = Server::start(false) else { return };
        let mut ledger = Ledger { link: server.link(1), server, count };
        ledger.add("a name that is bound to a key of its own", "new", users::bind);
        let here = |own, number| users::claim(own, number, true);
        ledger.add("its user of version 2, who is here", "taken", here);
        ledger.add("the same when the user has gone", "released", users::release);

        let Some(server) = Server::start(false) else { return };
        let mut ledger = Ledger { link: server.link(1), server, count };
        let here = |own, number| users::claim(own, number, false);
        ledger.add("an original user, who is here", "taken", here);
        ledger.add("the same when the user has gone", "released", users::release);
        letters(count, 1);
        letters(count, IN_A_BOX);
    }
}

/// So many letters, so many in each box.
fn letters(count: usize, in_a_box: usize) {
    let Some(server) = Server::start(false) else { return };
    let boxes = count / in_a_box;
    let sender = |owner: usize| boxes + owner / BOXES_A_SENDER;
    let mut ledger = Ledger { link: server.link(1), server, count: boxes };
    let own = ledger.link.own;
    let senders: Vec<_> = (0..=sender(boxes)).map(|it| users::bind(own, it)).collect();
    ledger.link.all_answered("new", &senders, 64);
    if in_a_box == 1 {
        ledger.add("a key for letters", "letterbox", users::letter_key);
    } else {
        let keys: Vec<_> = (0..boxes).map(|it| users::letter_key(own, it)).collect();
        ledger.link.all_answered("letterbox", &keys, 64);
    }
    let wrote: Vec<_> = (0..boxes).map(|it| users::wrote(own, it, sender(it))).collect();
    ledger.link.all_answered("noted", &wrote, 64);
    ledger.count = boxes * in_a_box;
    ledger.add(&format!("a letter of 1 KiB, {in_a_box} in a box"), "kept", |own, number| {
        let owner = number % boxes;
        users::keep(own, (sender(owner), owner), number / boxes, LETTER_BYTES)
    });
}

struct Ledger {
    server: Server,
    link: Link,
    count: usize,
}

impl Ledger {
    /// Makes a call for each, and says what that has added.
    fn add(&mut self, name: &str, answer: &str, call: impl Fn(Incarnation, usize) -> Call) {
        let before = self.server.memory();
        let calls = (0..self.count).map(|number| call(self.link.own, number));
        let calls: Vec<_> = calls.collect();
        self.link.all_answered(answer, &calls, 64);
        #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
        let added = self.server.memory() as f64 - before as f64;
        println!("{name:<46}{:>12.0} ({} of them)", ratio(added, self.count), self.count);
    }
}
