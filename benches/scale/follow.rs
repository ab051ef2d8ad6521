//! What it costs that a user comes or goes, with so many relays that follow.

use std::time::Duration;

use crate::engine::{Server, micros_each, ratio};
use crate::relay::{Relay, Relays};
use crate::users;

/// With each of these numbers of relays, so many changes.
pub(crate) fn all(count: usize) {
    println!("\na user comes or goes, processor time in µs for each change:");
    println!("{:<46}{:>12}{:>12}{:>18}", "", "engine", "each relay", "reads a change");
    for relays in [1, 2, 4, 8] {
        // So many at once as when a relay was lost, and one after the other.
        for at_once in [64, 1] {
            changes(relays, at_once, if at_once == 1 { count / 4 } else { count });
        }
    }
}

fn changes(count: usize, at_once: usize, changes: usize) {
    let Some(server) = Server::start(true) else { return };
    let mut relays = Relays::new();
    for _ in 0..count {
        relays.start(&server);
    }
    let mut link = server.link(1);
    let spent = |relays: &Relays| relays.all.iter().map(Relay::cpu).sum::<Duration>();
    let before = (server.cpu(), spent(&relays), server.count("xread"));
    let own = link.own;
    let come: Vec<_> = (0..changes / 2).map(|it| users::claim(own, it, false)).collect();
    let go: Vec<_> = (0..changes / 2).map(|it| users::release(own, it)).collect();
    for (answer, calls, users) in [("taken", come, changes / 2), ("released", go, 0)] {
        link.all_answered(answer, &calls, at_once);
        for relay in &mut relays.all {
            #[expect(clippy::cast_precision_loss, reason = "few users")]
            relay.wait_for("sealwax_cluster_users", users as f64);
        }
    }
    let [engine, each] = [
        (server.cpu().saturating_sub(before.0), changes),
        (spent(&relays).saturating_sub(before.1), changes * count),
    ]
    .map(|(spent, count)| micros_each(spent, count));
    #[expect(clippy::cast_precision_loss, reason = "few reads")]
    let reads = ratio((server.count("xread") - before.2) as f64, changes * count);
    let name = format!("{count} relays, {at_once} at once");
    println!("{name:<46}{engine:>12.2}{each:>12.2}{reads:>18.3}");
}
