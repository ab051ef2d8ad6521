//! The calm, in which everything has to come right: what all relays have to agree on in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealwax::wire::compose;
use serde_json::{Value, json};

use crate::relay::OneRelay;
use crate::support;
use crate::support::model::Item;
use crate::support::simulated::{frames, read_roster};
use crate::world::World;

/// How long after the last trouble all have to agree.
const CALM: Duration = Duration::from_secs(40);
/// What a question may take when nothing is wrong.
const SHORT: Duration = Duration::from_secs(2);
/// What a registration may take then: some calls of the engine.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Nothing goes wrong any more.
pub(crate) fn calm(world: &mut World) {
    world.letters.is_calm = true;
    world.mend();
    for user in 0..world.users.len() {
        world.acknowledge(user);
    }
    world.pass(CALM);
}

/// All relays have joined, list the same users, and reach each of them from each other.
pub(crate) fn agree(world: &mut World) {
    for relay in &world.relays {
        let state = relay.state().expect("it belongs to a cluster");
        assert!(state.is_joined && state.is_connected, "{state:?}");
        assert_eq!(state.frames, 0, "{state:?}");
    }
    names_are_held_once(world);
    boxes_are_empty(world);
    for relay in 0..world.relays.len() {
        ask(world, relay);
    }
    all_are_reached(world);
    let lines = world.users.iter().filter(|user| user.is_registered());
    let living: Vec<u64> = lines.filter_map(|user| Some(user.line.as_ref()?.number)).collect();
    world.post.settle(&living);
    all_letters_come(world);
}

/// The engine has for each user the connection that it is registered at, and for nobody else.
fn names_are_held_once(world: &World) {
    let names = world.names();
    let here: Vec<_> = world.users.iter().filter(|user| user.is_registered()).collect();
    assert_eq!(names.len(), here.len(), "two have one name: {names:?}");
    let items = world.engine.server().model().items();
    let held = match items.get("sealwax:where") {
        Some(Item::Hash(held)) => held.clone(),
        _ => BTreeMap::default(),
    };
    let known: BTreeSet<String> = held.keys().cloned().collect();
    assert_eq!(known, names, "what the engine has");
    for user in here {
        let Some(line) = &user.line else { continue };
        let state = world.relays[line.at].state().expect("it belongs to a cluster");
        let place = String::from_utf8_lossy(&held[user.name]).into_owned();
        let is_there = place.starts_with(&state.incarnation.to_string());
        assert!(is_there, "{} is at {state:?}, and the engine has {place}", user.name);
        assert_eq!(state.users, names.len(), "users that relay {} knows", line.at);
        if line.wants_roster() {
            assert_eq!(line.view, names, "the roster of {} at relay {}", user.name, line.at);
        }
    }
    let lives: BTreeSet<String> = world
        .relays
        .iter()
        .filter_map(OneRelay::state)
        .map(|it| it.incarnation.to_string())
        .collect();
    for key in items.keys() {
        let of_relay = ["relay", "of", "in", "flow"]
            .iter()
            .find_map(|kind| key.strip_prefix(&format!("sealwax:{kind}:")));
        let is_left = of_relay.is_some_and(|life| !lives.contains(life));
        assert!(!is_left, "{key} is left behind");
    }
}

/// Who takes letters has all that there are.
fn boxes_are_empty(world: &World) {
    let items = world.engine.server().model().items();
    for user in &world.users {
        let Some(line) = &user.line else { continue };
        if world.letters.is_taken(line.number) {
            let rest = items.get(&format!("sealwax:box:{}", user.name));
            assert!(rest.is_none(), "{} takes letters, and these wait: {rest:?}", user.name);
        }
    }
}

/// A stranger at this relay asks who is there, and for their keys.
fn ask(world: &mut World, relay: usize) {
    let names = world.names();
    let mut probe = world.base.dial(world.relays[relay].at);
    world.settle();
    let frame = json!({"action": "register", "name": format!("probe-{relay}"),
        "pubkey": support::relay::PEM});
    let mut frames_out = frame.to_string().into_bytes();
    world.pass(Duration::ZERO);
    for name in &names {
        frames_out.extend(compose::get_pubkey(name, "probe"));
    }
    assert_eq!(probe.send(&frames_out), frames_out.len());
    world.pass(SHORT);
    let told = frames(&probe.receive_all());
    let mut listed = BTreeSet::new();
    for frame in told.iter().filter(|it| it["action"] == "userlist" || it["action"] == "roster") {
        read_roster(frame, &mut listed);
    }
    listed.retain(|name| !name.starts_with("probe-"));
    assert_eq!(listed, names, "the roster of relay {relay}: {told:?}");
    for name in &names {
        let answer = told.iter().find(|it| it["action"] == "pubkey" && it["from"] == **name);
        let answer = answer.unwrap_or_else(|| panic!("relay {relay} has no key of {name}"));
        has_keys(world, relay, name, answer);
    }
    probe.close();
    world.pass(Duration::from_secs(1));
}

/// The keys of a user are those that it has left last.
fn has_keys(world: &World, relay: usize, name: &str, answer: &Value) {
    let user = world.users.iter().find(|it| it.name == name && it.is_registered());
    let Some(user) = user else { return };
    assert_eq!(answer["pubkey"], user.pem(), "the key of {name} at relay {relay}");
    let Some(account) = &user.account else { return };
    let prekey = answer["prekey"]["id"].as_u64();
    assert_eq!(prekey, Some(account.prekey.id.into()), "the prekey of {name} at relay {relay}");
    if let Some(key) = world.letters.key_since(name, world.lost) {
        let letter_key = answer["letter_key"]["id"].as_u64();
        assert_eq!(letter_key, Some(key.into()), "the letter key of {name} at relay {relay}");
    }
}

/// Each user reaches each other one of its version.
fn all_are_reached(world: &mut World) {
    let here: Vec<usize> =
        (0..world.users.len()).filter(|it| world.users[*it].is_registered()).collect();
    for &from in &here {
        for &to in &here {
            let name = world.users[to].name;
            let Some(id) = world.say(from, name) else { panic!("{from} cannot write") };
            world.pass(Duration::from_millis(200));
            let is_alike = world.users[from].is_version2() == world.users[to].is_version2();
            let answer = world.post.answer(&id);
            assert_eq!(
                answer.map(|it| it == crate::post::Answer::Relayed),
                Some(is_alike),
                "{} writes to {name}",
                world.users[from].name
            );
        }
    }
}

/// All letters that were stored come to their owners, and then nothing is left of any.
fn all_letters_come(world: &mut World) {
    let writers: Vec<usize> =
        (0..world.users.len()).filter(|&it| world.users[it].is_writer()).collect();
    for user in writers {
        if !world.users[user].is_registered() {
            let name = world.users[user].name;
            if world.users.iter().any(|it| it.name == name && it.is_registered()) {
                continue;
            }
            world.connect(user);
            world.pass(AT_ONCE);
            assert!(world.users[user].is_registered(), "{name} cannot register");
        }
        world.take_letters(user);
        world.pass(SHORT);
    }
    boxes_are_empty(world);
    world.letters.settle(world.lost);
    let items = world.engine.server().model().items();
    let kinds = ["box", "content", "sent", "ages"];
    let is_of_letters =
        |key: &&String| kinds.iter().any(|kind| key.starts_with(&format!("sealwax:{kind}")));
    let rest: Vec<_> = items.keys().filter(is_of_letters).collect();
    assert!(rest.is_empty(), "of letters {rest:?} is left");
}
