//! After the storm: everything comes right, everybody leaves, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use sealwax::reactor::Time;

use crate::original::Original;
use crate::world::{Due, World};

/// How long everything has, at most, to come right: a session that a jump of the clocks has spoilt
/// is tried again for as long as they differed.
const CALM: Duration = Duration::from_mins(30);
/// From here on nothing goes wrong, and everything comes right.
pub(crate) fn calm(world: &mut World) {
    world.note(|| "calm".to_owned());
    world.weather.calm();
    world.disk.calm();
    for place in 0..world.users.len() {
        world.after(Duration::ZERO, Due::UserGoesOn(place));
        world.after(Duration::ZERO, Due::UserIsShown(place));
        world.after(Duration::ZERO, Due::UserStarts(place));
        world.users[place].mend_clock();
    }
    for due in [Due::RelayGoesOn, Due::RelayStarts, Due::LimitIsLifted] {
        world.after(Duration::ZERO, due);
    }
    world.originals.iter_mut().for_each(Original::calm);
    let until = world.now() + CALM;
    loop {
        world.run(Duration::from_secs(5));
        let Some(open) = unsettled(world) else { break };
        assert!(world.now() < until, "it never came right: {open}");
    }
    let living: Vec<u64> = world.originals.iter().map(|original| original.number).collect();
    world.post.settle(&living);
}

/// What has not come right yet.
fn unsettled(world: &World) -> Option<String> {
    let Some(relay) = &world.relay else { return Some("there is no relay".to_owned()) };
    let everybody = world.everybody();
    if relay.relay.census().users != everybody.len() {
        return Some(format!("{:?}, and there are {everybody:?}", relay.relay.census()));
    }
    for user in &world.users {
        let name = &user.name;
        let Some(process) = &user.process else { return Some(format!("{name} is not there")) };
        let pending = process.probe.client.pending_counts();
        let open = world.ledger.open(name, user.run, &everybody);
        if !pending.connected || pending.receipts > 0 || !open.is_empty() {
            return Some(format!("{name}: {pending:?}, {open:?}"));
        }
        let users = process.probe.client.users().into_iter().flatten();
        let view: BTreeSet<String> = users.map(str::to_owned).collect();
        if user.wants_roster() && view != everybody {
            return Some(format!("{name} sees {view:?}, and there are {everybody:?}"));
        }
    }
    for original in &world.originals {
        let Original { name, view, .. } = original;
        if !original.is_registered || !original.has_spoken() {
            return Some(format!("{name} has not been heard"));
        }
        if original.wants_roster() && *view != everybody {
            return Some(format!("{name} sees {view:?}, and there are {everybody:?}"));
        }
    }
    None
}

/// Everybody leaves, and nothing is left behind.
pub(crate) fn end(world: &mut World) {
    world.note(|| "everybody leaves".to_owned());
    world.is_ending = true;
    for place in 0..world.users.len() {
        world.users[place].process.iter_mut().for_each(crate::user::Process::leave);
        world.excuse(place, Duration::ZERO);
    }
    for original in world.originals.drain(..) {
        original.peer.close();
    }
    world.run(Duration::from_secs(5));
    let left: Vec<_> = world.users.iter().filter(|user| user.process.is_some()).collect();
    assert!(left.is_empty(), "{} does not leave", left[0].name);
    if let Some(process) = &mut world.relay {
        process.check_empty();
        process.kernel.signal(15);
    }
    world.run(Duration::from_secs(1));
    assert!(world.relay.is_none(), "the relay does not end");
    assert_eq!(world.kernel.descriptors_in_all(), 0);
    assert_eq!(world.kernel.next_delivery(), None::<Time>);
}
