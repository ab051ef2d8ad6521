//! Sessions that are offered again, by others, too late, too early or to somebody else; and
//! prekeys that are not what they should be.

use std::time::Duration;

use sealwax::wire::base64;
use serde_json::Value;

use crate::impostor::{Impostor, sealed};
use crate::relay::Verdict;
use crate::stage::{Stage, chat, say, warning, warnings_before};
use crate::support::fixtures::public;

/// Where the parts of an offer stand (`docs/protocol.md`, section 5).
const CREATED: usize = 20;
const SENDER: usize = 28;
const RECIPIENT: usize = 60;
const PREKEY: usize = 92;
const EPHEMERAL: usize = 96;
const WRAPPED: usize = 130;
/// Behind what a key of 2048 bits wraps.
const ENCAPSULATED: usize = WRAPPED + 256 + 2;

fn bytes(offer: &Value) -> Vec<u8> {
    base64::decode(offer["key"].as_str().expect("text")).expect("ours is canonical")
}

/// The offer with other bytes.
fn with(offer: &Value, bytes: &[u8]) -> Value {
    let mut offer = offer.clone();
    offer["key"] = base64::encode(bytes).into();
    offer
}

#[test]
fn an_offer_that_is_replayed_forged_or_changed_is_refused_before_anything_is_decrypted() {
    let mut stage = Stage::talking();
    let offer = stage.relay.first(1, "send_key", "alice").remove(0);
    let true_bytes = bytes(&offer);
    let changed = |place: usize| {
        let mut changed = true_bytes.clone();
        changed[CREATED + 7] = changed[CREATED + 7].wrapping_add(1); // newer than the last one
        changed[place] ^= 4;
        with(&offer, &changed)
    };
    let to_bob = stage.relay.plot().pubkey_of("bob");
    let forged = Impostor::with("carol").offer("alice", &to_bob, 1000).1;
    let mut under_alices_print = bytes(&forged);
    under_alices_print[SENDER..RECIPIENT].copy_from_slice(&public("alice").fingerprint().0);
    let of_bob = stage.relay.first(1, "send_key", "bob").remove(0);
    let mut reflected = of_bob;
    (reflected["from"], reflected["to"]) = ("alice".into(), "bob".into());

    let cases = [
        (offer.clone(), "stale_session"),
        (reflected, "wrong_recipient"),
        (forged.clone(), "wrong_sender"),
        (with(&forged, &under_alices_print), "bad_signature"),
        (changed(0), "malformed"),
        (changed(3), "malformed"), // the suite
        (changed(CREATED), "clock_skew"),
        (changed(SENDER), "wrong_sender"),
        (changed(RECIPIENT), "wrong_recipient"),
        (changed(true_bytes.len() - 1), "bad_signature"),
        (with(&offer, &true_bytes[..WRAPPED]), "malformed"),
        (with(&offer, &[&true_bytes[..], &[0]].concat()), "malformed"),
        (with(&offer, &[]), "malformed"),
        (with(&offer, &[2; 5000]), "malformed"),
    ];
    for (frame, expected) in cases {
        assert_eq!(stage.warned(&frame), expected, "{frame}");
    }
    // The signature can be checked against a prekey of bob's only.
    assert_eq!(stage.warned(&changed(PREKEY)), "session_refused");
    // What says nothing of its own: the session's id, and the shares.
    for place in [4, EPHEMERAL, WRAPPED, ENCAPSULATED] {
        let code = stage.warned(&changed(place));
        assert!(["bad_signature", "stale_session"].contains(&code.as_str()), "{code} at {place}");
    }
    assert_eq!(stage.goes_on(), [""; 0]);
}

/// Not the relay but a peer is evil: it has the key that signs.
#[test]
fn an_offer_by_the_true_key_is_bound_to_its_time_its_prekey_and_its_recipient() {
    let mut stage = Stage::talking();
    let alice = Impostor::with("alice");
    let (to_bob, now) = (stage.relay.plot().pubkey_of("bob"), 0);
    let mut old = to_bob.clone();
    old["prekey"] = Impostor::with("bob").prekey_as("bob"); // not the one that bob holds
    let mut to_carol = old.clone();
    to_carol["prekey"] = Impostor::with("carol").prekey_as("carol");
    to_carol["pubkey"] = public("carol").to_pem().into();
    let hour = Duration::from_hours(1).as_millis().try_into().expect("small");
    let cases = [
        (alice.offer("alice", &to_bob, hour).1, "clock_skew"),
        (alice.offer("alice", &old, now).1, "session_refused"),
        (alice.offer("alice", &to_carol, now).1, "wrong_recipient"),
    ];
    for (frame, expected) in cases {
        assert_eq!(stage.warned(&frame), expected);
    }
    // Whoever has alice's key is alice; but an old session is stale after it.
    let (mut chain, offer) = alice.offer("alice", &to_bob, 60_000);
    stage.relay.tell("bob", &offer);
    stage.relay.tell("bob", &sealed(&mut chain, "alice", "bob", "with the key"));
    assert_eq!(warnings_before(&stage.bob, "with the key"), [""; 0]);
    assert_eq!(stage.warned(&alice.offer("alice", &to_bob, now).1), "stale_session");
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn nothing_is_sealed_to_a_prekey_that_the_peer_did_not_sign_or_has_replaced() {
    let mut stage = Stage::talking();
    let known = stage.relay.plot().pubkey_of("bob");
    let (carol, bob) = (Impostor::with("carol"), Impostor::with("bob"));
    let with = |prekey: Value| {
        let mut answer = known.clone();
        answer["prekey"] = prekey;
        answer
    };
    let mut mended = known["prekey"].clone();
    mended["x25519"] = carol.prekey_as("bob")["x25519"].clone();
    let mut weak = known["prekey"].clone();
    weak["x25519"] = base64::encode(&[0; 32]).into();
    let cases = [
        (with(mended), "bad_prekey"),
        (with(weak), "bad_prekey"),
        (with(carol.prekey_as("bob")), "bad_prekey"),
        (with(bob.prekey_as("carol")), "bad_prekey"),
    ];
    let sealed = |stage: &Stage| stage.relay.plot().frames("send_key", "alice").count();
    let before = sealed(&stage);
    for (answer, expected) in cases {
        stage.relay.plot().pubkeys.insert("bob".to_owned(), answer);
        stage.relay.cut();
        stage.alice.event("registered");
        stage.relay.has(&["alice", "bob"]);
        say(&mut stage.alice, "bob", "secret");
        warning(&stage.alice, expected);
        assert_eq!(stage.alice.event("failed")["code"], "bad_prekey");
    }
    assert_eq!(sealed(&stage), before);
    stage.relay.behave();
    assert_eq!(stage.goes_on(), [""; 0]);
    stage.alice.end().with_code(3);
}

#[test]
fn a_peer_who_spoke_version_2_is_not_believed_to_have_gone_back() {
    let mut stage = Stage::talking();
    let mut stripped = stage.relay.plot().pubkey_of("bob");
    stripped.as_object_mut().expect("an object").retain(|name, _| name != "v" && name != "prekey");
    stage.relay.plot().pubkeys.insert("bob".to_owned(), stripped.clone());
    let before = stage.relay.plot().log.len();
    stage.relay.cut();
    stage.alice.event("registered");
    stage.relay.has(&["alice", "bob"]);
    say(&mut stage.alice, "bob", "secret");
    assert!(warning(&stage.alice, "downgrade").contains("bob"));
    assert_eq!(stage.alice.event("failed")["code"], "downgrade");
    let log = stage.relay.plot().log.split_off(before);
    assert!(log.iter().all(|frame| frame["action"] != "message" && frame["action"] != "send_key"));
    // Nor does a stranger get anything whose client could not prove who reads it.
    let mut carol = chat(&stage.homes, &stage.relay, "carol");
    say(&mut carol, "bob", "secret");
    warning(&carol, "not_v2");
    assert_eq!(carol.event("failed")["code"], "not_v2");
    carol.end().with_code(1);

    stage.relay.behave();
    assert_eq!(stage.goes_on(), [""; 0]);
    stage.alice.end().with_code(3);
}

#[test]
fn a_session_that_the_relay_cut_out_is_opened_anew() {
    let mut stage = Stage::of_two();
    stage.relay.set_fate(|frame| {
        if frame["action"] == "send_key" { Verdict::Swallow } else { Verdict::Forward }
    });
    say(&mut stage.alice, "bob", "hi");
    assert!(!warning(&stage.bob, "unknown_session").is_empty());
    stage.relay.behave();
    warnings_before(&stage.bob, "hi");
    assert_eq!(stage.alice.event("delivered")["id"], "hi");
    assert_eq!(stage.goes_on(), [""; 0]);
}
