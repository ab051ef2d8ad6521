//! The copy of who is where, whatever happens while it is made: on the model, with the table read
//! in parts of a few names.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sealwax::cluster::frames::{self, Page};
use sealwax::cluster::limits::READ_AT_ONCE;
use sealwax::cluster::members::{Members, News, Wanted};
use sealwax::cluster::names::{self, LeaseAnswer, LeaseStep};
use sealwax::cluster::{Place, keys};

use crate::differential::call;
use crate::support::model::{Item, Model};
use crate::world::{Dice, ID, RELAY_KEY, claim, fp, relay, take};

/// Entries of `where`, as the engine has them.
fn table(model: &Model) -> BTreeMap<String, Place> {
    let Some(Item::Hash(all)) = model.items().get(keys::WHERE) else { return BTreeMap::new() };
    let place = |entry: &[u8]| Place::parse(std::str::from_utf8(entry).unwrap()).unwrap();
    all.iter().map(|(name, entry)| (name.clone(), place(entry))).collect()
}

/// The part with this cursor: three names, as they are now.
fn part(model: &Model, cursor: u64) -> Page {
    let names: Vec<_> = (0..3).map(|number| name(cursor + number)).collect();
    let next = if cursor + 3 < 12 { cursor + 3 } else { 0 };
    let table = table(model);
    let found = names.into_iter().filter_map(|name| Some((name.clone(), *table.get(&name)?)));
    Page { next, names: found.collect() }
}

fn name(number: u64) -> String {
    format!("user {number}")
}

/// One change of who is where.
fn change(model: &mut Model, dice: &mut Dice, session: &mut u64) {
    let (own, name) = (relay(dice.one(&[1, 2])), name(dice.below(12)));
    let held = table(model).get(&name).copied();
    match held {
        Some(place) if dice.below(2) == 0 => {
            call(model, &names::release(place.incarnation, &name, place.session));
        }
        Some(_) => {}
        None => {
            *session += 1;
            call(model, &claim(own, &name, *session, &fp(1), false));
        }
    }
}

/// One step of a relay that keeps a copy; `true` where it had nothing to do.
fn follow(model: &mut Model, members: &mut Members) -> bool {
    match members.wanted() {
        Wanted::Beginning => {
            let answer = call(model, &names::lease(relay(1), LeaseStep::Renew, ID, "unused"));
            let Ok(LeaseAnswer::Held { epoch, change, .. }) = names::leased(&answer) else {
                panic!("{answer:?}")
            };
            members.begin(&epoch, change);
        }
        Wanted::Part(cursor) => members.scanned(part(model, cursor)),
        Wanted::Changes(number) => {
            let found = model.read(READ_AT_ONCE, &[(keys::CHANGES.to_owned(), number)]);
            let changes = frames::read(relay(1), &found).unwrap().changes;
            let is_idle = changes.is_empty();
            members.changed(changes);
            return is_idle && members.wanted() == Wanted::Changes(number);
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_the_end_the_copy_is_right(seed in any::<u64>()) {
        let (mut model, mut dice, mut session) = (Model::default(), Dice::new(seed), 0);
        let mut members = Members::default();
        let mut roster: BTreeMap<String, bool> = BTreeMap::new();
        call(&mut model, &names::init(relay(1), ID, RELAY_KEY));
        call(&mut model, &take(relay(1)));
        call(&mut model, &take(relay(2)));
        for _ in 0..200 {
            match dice.below(40) {
                0 => members.outdate(), // the connection was lost
                1 => {
                    // Emptied: its relays begin again.
                    model.empty();
                    call(&mut model, &names::init(relay(1), ID, RELAY_KEY));
                    let epoch = format!("epoch {}", dice.below(1 << 30));
                    for number in [1, 2] {
                        let lease = names::lease(relay(number), LeaseStep::Take, ID, &epoch);
                        let answer = call(&mut model, &lease);
                        let Ok(LeaseAnswer::Held { epoch, change, .. }) = names::leased(&answer)
                        else { panic!("{answer:?}") };
                        members.check(&epoch, change, members.number());
                    }
                }
                2 => members.drop_relay(relay(2)),
                3 => members.drop_others(relay(1)),
                4..8 => {
                    members.let_go_some(2);
                }
                8..20 => {
                    follow(&mut model, &mut members);
                }
                _ => change(&mut model, &mut dice, &mut session),
            }
            while let Some(news) = members.next_news() {
                // Nobody comes twice, and nobody goes who was not there.
                let (name, is_there) = match news {
                    News::Came(name) => (name, true),
                    News::Left(name) => (name, false),
                };
                let was = roster.insert(name.to_string(), is_there);
                prop_assert_eq!(was.unwrap_or(false), !is_there, "{}", name);
            }
        }
        while members.let_go_some(2) {}
        members.outdate();
        let steps = (0..1000).take_while(|_| !follow(&mut model, &mut members)).count();
        prop_assert!(steps < 100);
        while members.let_go_some(2) {}
        let copy: BTreeMap<_, _> =
            members.iter().map(|(name, place)| (name.to_owned(), place)).collect();
        prop_assert_eq!(copy, table(&model));
        model.advance(Duration::from_secs(10));
        prop_assert_eq!(
            names::leased(&call(&mut model, &names::lease(relay(1), LeaseStep::Renew, ID, ""))),
            Ok(LeaseAnswer::Gone)
        );
    }
}
