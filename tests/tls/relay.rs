//! A relay on a kernel in memory, and connections that begin with TLS beside others.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ::ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use der::pem::{LineEnding, encode_string};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore, version};
use sealwax::reactor::limits::FRAME_TIMEOUT;
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::{REGISTER_TIMEOUT, TLS_HANDSHAKES_PER_TICK, UNREGISTERED_BYTES};
use sealwax::tls::ServerTls;
use sealwax::wire::RosterMode;
use serde_json::{Value, json};

use crate::support::kernel::Peer;
use crate::support::relay::{Account, register};
use crate::support::simulated::{Simulated, actions, frames, hear, ping, say};
use crate::support::transform::Tunnel;

fn start(requires_tls: bool) -> Simulated {
    let mut simulated = Simulated::start(RelayConfig { requires_tls, ..RelayConfig::default() });
    simulated.relay.speak_tls(Box::new(ServerTls::self_signed().unwrap()));
    simulated
}

/// A connection over TLS.
struct Guest {
    peer: Peer,
    tunnel: Tunnel,
}

impl Guest {
    fn arrive(simulated: &mut Simulated) -> Self {
        let mut guest = Self { peer: simulated.dial(), tunnel: Tunnel::tls() };
        guest.say(simulated, b"");
        guest.say(simulated, b"");
        assert!(guest.tunnel.engine.binding().is_some(), "they have agreed");
        guest
    }

    /// Sends `plain`, and takes what comes.
    fn say(&mut self, simulated: &mut Simulated, plain: &[u8]) {
        let (wire, taken) = self.tunnel.seal(plain);
        assert_eq!(taken, plain.len());
        assert_eq!(self.peer.send(&wire), wire.len());
        simulated.settle();
        self.tunnel.open(&self.peer.receive_all()).unwrap();
    }

    fn ask(&mut self, simulated: &mut Simulated, frame: &Value) -> Vec<Value> {
        self.say(simulated, frame.to_string().as_bytes());
        self.heard()
    }

    fn heard(&mut self) -> Vec<Value> {
        frames(&std::mem::take(&mut self.tunnel.plain))
    }
}

/// Two plain users who go on talking.
fn bystanders(simulated: &mut Simulated) -> (Peer, Peer) {
    (simulated.join("one", "none"), simulated.join("two", "none"))
}

fn go_on(simulated: &mut Simulated, (one, two): &mut (Peer, Peer)) {
    hear(one);
    say(one, &json!({"action": "message", "to": "two", "content": "x"}));
    simulated.settle();
    assert_eq!(actions(&hear(two)), ["message"]);
    assert_eq!(hear(one), Vec::<Value>::new());
}

#[test]
fn who_begins_with_tls_talks_with_who_does_not() {
    let mut simulated = start(false);
    let mut plain = simulated.join("plain", "none");
    let mut sealed = Guest::arrive(&mut simulated);
    sealed.ask(&mut simulated, &register("sealed", "none"));
    assert_eq!(actions(&sealed.ask(&mut simulated, &ping())), ["pong"]);
    let text = json!({"action": "message", "to": "sealed", "content": "from the clear"});
    say(&mut plain, &text);
    simulated.settle();
    sealed.tunnel.open(&sealed.peer.receive_all()).unwrap();
    assert_eq!(sealed.heard()[0]["content"], "from the clear");
    let text = json!({"action": "message", "to": "plain", "content": "from within"});
    sealed.ask(&mut simulated, &text);
    assert_eq!(hear(&mut plain)[0]["content"], "from within");
    let counters = simulated.counters();
    assert_eq!((counters["tls"], counters["registered"]), (1, 2));
}

/// What goes over the wire after the handshake has no name in it, neither the client's nor the
/// relay's side.
#[test]
fn no_name_is_in_the_clear() {
    let mut simulated = start(false);
    let mut guest = Guest { peer: simulated.dial(), tunnel: Tunnel::tls() };
    let mut seen: Vec<u8> = Vec::new();
    for plain in ["", "", &register("incognito", "full").to_string()] {
        let wire = guest.tunnel.seal(plain.as_bytes()).0;
        seen.extend(&wire);
        guest.peer.send(&wire);
        simulated.settle();
        let wire = guest.peer.receive_all();
        seen.extend(&wire);
        guest.tunnel.open(&wire).unwrap();
    }
    assert_eq!(guest.heard()[0]["users"], json!(["incognito"]));
    for word in ["incognito", "userlist", "register", "PUBLIC KEY"] {
        assert!(!seen.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_a_hello() {
    let mut simulated = start(false);
    let mut guest = Guest { peer: simulated.dial(), tunnel: Tunnel::tls() };
    for byte in guest.tunnel.seal(b"").0 {
        guest.peer.send(&[byte]);
        simulated.settle();
    }
    guest.tunnel.open(&guest.peer.receive_all()).unwrap();
    guest.say(&mut simulated, b"");
    assert_eq!(guest.ask(&mut simulated, &register("slow", "full"))[0]["users"], json!(["slow"]));
}

/// The claim of a registration that is to hold on its connection only.
fn bound(account: &Account) -> Value {
    let mut claim = account.claim(RosterMode::None);
    claim["bind"] = json!("tls-exporter");
    claim
}

#[test]
fn a_registration_of_version_2_holds_on_its_connection_only() {
    for is_bound in [false, true] {
        let mut simulated = start(false);
        let alice = Account::alice();
        let mut guest = Guest::arrive(&mut simulated);
        let claim = if is_bound { bound(&alice) } else { alice.claim(RosterMode::None) };
        let challenge = guest.ask(&mut simulated, &claim)[0].to_string();
        let binding = guest.tunnel.engine.binding().filter(|_| is_bound);
        let proof = alice.prove_bound(&challenge, binding.as_ref(), binding.as_ref());
        let proven = guest.ask(&mut simulated, &proof);
        assert_eq!(actions(&proven), ["registered"]);
    }
}

/// The proof of a bound registration is refused where it is not over what this connection exports.
#[test]
fn a_proof_over_another_connection_is_refused() {
    let mut simulated = start(false);
    let alice = Account::alice();
    let mut guest = Guest::arrive(&mut simulated);
    let challenge = guest.ask(&mut simulated, &bound(&alice))[0].to_string();
    let binding = guest.tunnel.engine.binding();
    let proof = alice.prove_bound(&challenge, binding.as_ref(), Some(&[9; 32]));
    let refused = guest.ask(&mut simulated, &proof);
    assert_eq!(actions(&refused), ["bad_proof"]);
    assert!(guest.tunnel.is_over);
}

#[test]
fn a_binding_to_nothing_or_to_something_else_is_the_end() {
    let mut simulated = start(false);
    let alice = Account::alice();
    let mut claim = bound(&alice);
    let mut plain = simulated.dial();
    say(&mut plain, &claim);
    simulated.settle();
    assert_eq!(actions(&hear(&mut plain)), ["bad_frame"]);
    assert!(plain.has_ended());
    claim["bind"] = json!("tls-unique");
    let mut guest = Guest::arrive(&mut simulated);
    assert_eq!(actions(&guest.ask(&mut simulated, &claim)), ["bad_frame"]);
    assert!(guest.tunnel.is_over);
}

/// Whoever breaks off in whatever way is counted by its reason, told so in TLS, and nobody else
/// notices.
#[test]
fn each_way_to_fail_is_counted_and_nobody_else_notices() {
    let mut simulated = start(false);
    let mut pair = bystanders(&mut simulated);
    let hello = Tunnel::tls().seal(b"").0;
    let mut garbage = hello.clone();
    garbage[60..].fill(0xff); // its lengths are whole, what is in it is not
    let long = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][..], &[0; UNREGISTERED_BYTES]].concat();
    for (bytes, counter) in [
        (&b"\x16garbage"[..], "tls_failed_no_tls"),
        (&b"\x16\x03\x01\x00\x00"[..], "tls_failed_no_tls"),
        (&long, "tls_failed_too_long"),
    ] {
        let before = simulated.counters().get(counter).copied().unwrap_or(0);
        let mut peer = simulated.dial();
        peer.send(bytes);
        simulated.settle();
        assert_eq!(peer.receive_all()[..3], [0x15, 3, 3], "{counter}");
        assert!(peer.has_ended());
        assert_eq!(simulated.counters()[counter], before + 1, "{counter}");
        go_on(&mut simulated, &mut pair);
        peer.close();
    }

    // What the engine itself refuses.
    let failed = |simulated: &mut Simulated| -> u64 {
        let counters = simulated.counters();
        counters.iter().filter(|(name, _)| name.starts_with("tls_failed")).map(|(_, it)| it).sum()
    };
    let before = failed(&mut simulated);
    let mut peer = simulated.dial();
    peer.send(&garbage);
    simulated.settle();
    assert!(peer.has_ended());
    assert_eq!(failed(&mut simulated), before + 1);
    go_on(&mut simulated, &mut pair);

    // Plaintext within TLS, and a record that was changed on the way.
    for (wire, counter) in [
        (&b"{\"action\": \"ping\"}"[..], "tls_failed_no_tls"),
        (&b"\x17\x03\x03\x00\x20................................"[..], "tls_failed_decrypt"),
    ] {
        let before = simulated.counters().get(counter).copied().unwrap_or(0);
        let mut guest = Guest::arrive(&mut simulated);
        guest.ask(&mut simulated, &register("guest", "none"));
        guest.peer.send(wire);
        simulated.settle();
        assert!(guest.tunnel.open(&guest.peer.receive_all()).is_err(), "an alert");
        assert_eq!(simulated.counters()[counter], before + 1);
        go_on(&mut simulated, &mut pair);
    }

    // TLS within plaintext is a stray byte, as ever.
    for first in [&b"{\"action\": \"ping\"}"[..], b" "] {
        let mut peer = simulated.dial();
        peer.send(first);
        simulated.settle();
        hear(&mut peer);
        peer.send(&hello);
        simulated.settle();
        assert_eq!(actions(&hear(&mut peer)), ["bad_frame"]);
        assert!(peer.has_ended());
    }
    go_on(&mut simulated, &mut pair);
}

/// A hello that is cut anywhere waits like any frame of a stranger, and a handshake that does not
/// go on as well: until the time to register is over.
#[test]
fn a_handshake_that_stands_still_ends_with_the_time_to_register() {
    let hello = Tunnel::tls().seal(b"").0;
    for cut in [1, 5, 6, 50, hello.len() - 1, hello.len()] {
        let mut simulated = start(false);
        let mut pair = bystanders(&mut simulated);
        let mut peer = simulated.dial();
        peer.send(&hello[..cut]);
        simulated.settle();
        assert!(!peer.has_ended(), "{cut}");
        simulated.pass(REGISTER_TIMEOUT);
        assert!(peer.has_ended(), "{cut}");
        assert_eq!(simulated.counters()["ended_register_timeout"], 1);
        go_on(&mut simulated, &mut pair);
    }
}

/// A record of 16 KiB that is never finished is a frame that is never finished.
#[test]
fn a_record_that_is_never_finished_ends_its_connection() {
    let mut simulated = start(false);
    let mut guest = Guest::arrive(&mut simulated);
    guest.ask(&mut simulated, &register("guest", "none"));
    let wire = guest.tunnel.seal(&[b' '; 16 * 1024]).0;
    for part in wire[..16_000].chunks(4000) {
        guest.peer.send(part);
        simulated.settle();
        simulated.pass(Duration::from_secs(7));
    }
    assert!(!guest.peer.has_ended());
    simulated.pass(Duration::from_secs(2)); // 30 s after its first byte
    let counters = simulated.counters();
    assert_eq!(counters.get("ended_frame_timeout"), Some(&1), "{counters:?}");
    guest.tunnel.open(&guest.peer.receive_all()).unwrap();
    assert_eq!(actions(&guest.heard()), ["frame_timeout"]);
}

#[test]
fn where_tls_is_required_a_plain_connection_is_told_and_ended() {
    let mut simulated = start(true);
    for first in [&b"{\"action\": \"ping\"}"[..], b"\n{", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut peer = simulated.dial();
        peer.send(first);
        simulated.settle();
        assert_eq!(actions(&hear(&mut peer)), ["tls_required"]);
        assert!(peer.has_ended());
    }
    assert_eq!(simulated.counters()["ended_tls_required"], 3);
    let mut guest = Guest::arrive(&mut simulated);
    assert_eq!(guest.ask(&mut simulated, &register("guest", "full"))[0]["users"], json!(["guest"]));
}

#[test]
fn where_tls_is_off_its_first_byte_is_a_stray_byte() {
    let mut simulated = Simulated::start(RelayConfig::default());
    let mut peer = simulated.dial();
    peer.send(&Tunnel::tls().seal(b"").0);
    simulated.settle();
    assert_eq!(actions(&hear(&mut peer)), ["bad_frame"]);
    assert!(peer.has_ended());
}

/// So many handshakes a tick, whoever asks; the others come next, in order, and nobody is refused.
#[test]
fn a_crowd_has_its_handshakes_in_several_ticks() {
    const CROWD: usize = 3 * TLS_HANDSHAKES_PER_TICK + 1;
    for host in [[127, 0, 0, 1], [10, 0, 0, 1]] {
        let mut simulated = start(false);
        simulated.kernel.set_host(host);
        let mut guests: Vec<_> =
            (0..CROWD).map(|_| Guest { peer: simulated.dial(), tunnel: Tunnel::tls() }).collect();
        for guest in &mut guests {
            guest.peer.send(&guest.tunnel.seal(b"").0);
        }
        let mut ticks = 0;
        let mut before = 0;
        while before < CROWD {
            simulated.reactor.tick(&mut simulated.relay, Some(Duration::ZERO)).unwrap();
            let answered = guests.iter().filter(|guest| guest.peer.can_receive()).count();
            assert!(answered - before <= TLS_HANDSHAKES_PER_TICK, "{answered}");
            before = answered;
            ticks += 1;
            assert!(ticks < 100, "somebody is forgotten");
        }
        assert!(ticks >= 4);
        simulated.settle();
        for guest in &mut guests {
            guest.tunnel.open(&guest.peer.receive_all()).unwrap();
            guest.say(&mut simulated, b"");
            assert!(guest.tunnel.engine.binding().is_some());
        }
        assert_eq!(simulated.counters()["tls"], u64::try_from(CROWD).unwrap());
    }
}

/// Whoever says goodbye in TLS is answered in TLS, and the name is free.
#[test]
fn a_goodbye_ends_the_registration() {
    let mut simulated = start(false);
    let mut guest = Guest::arrive(&mut simulated);
    guest.ask(&mut simulated, &register("guest", "none"));
    let wire = guest.tunnel.finish();
    guest.peer.send(&wire);
    simulated.settle();
    guest.tunnel.open(&guest.peer.receive_all()).unwrap();
    assert!(guest.tunnel.is_over && guest.peer.has_ended());
    assert_eq!(simulated.relay.census().users, 0);
}

/// A client of `rustls` itself, which can be asked for what our engine never asks: new keys.
struct Renewing {
    peer: Peer,
    connection: ClientConnection,
}

impl Renewing {
    /// A relay with a certificate that `rustls` believes, and a client that has a connection to it.
    fn arrive() -> (Simulated, Self) {
        let made = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
        let pem = |kind, der: &[u8]| encode_string(kind, LineEnding::LF, der).unwrap();
        let certificate = pem("CERTIFICATE", made.cert.der());
        let key = pem("PRIVATE KEY", &made.signing_key.serialize_der());
        let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let mut simulated = Simulated::start(RelayConfig::default());
        simulated.relay.speak_tls(Box::new(tls));

        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let connection =
            ClientConnection::new(Arc::new(config), "relay.test".try_into().unwrap()).unwrap();
        let mut client = Self { peer: simulated.dial(), connection };
        client.ask(&mut simulated, "");
        client.ask(&mut simulated, "");
        assert!(!client.connection.is_handshaking());
        (simulated, client)
    }

    /// Sends `text` and whatever else it has to say; the ciphertext of the answer.
    fn say(&mut self, simulated: &mut Simulated, text: &str) -> Vec<u8> {
        self.connection.writer().write_all(text.as_bytes()).unwrap();
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).unwrap();
        }
        assert_eq!(self.peer.send(&wire), wire.len());
        simulated.settle();
        self.peer.receive_all()
    }

    fn open(&mut self, mut wire: &[u8]) -> Vec<Value> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            self.connection.read_tls(&mut wire).unwrap();
            self.connection.process_new_packets().unwrap();
            let _ = self.connection.reader().read_to_end(&mut plain); // until it would wait
        }
        frames(&plain)
    }

    fn ask(&mut self, simulated: &mut Simulated, text: &str) -> Vec<Value> {
        let wire = self.say(simulated, text);
        self.open(&wire)
    }
}

/// RFC 8446, section 4.6.3: the relay takes new keys whenever its client does, and renews its own
/// before its next record, for it was asked to.
#[test]
fn keys_are_renewed_in_mid_conversation() {
    let (mut simulated, mut client) = Renewing::arrive();
    client.ask(&mut simulated, &register("renewing", "none").to_string());
    let mut plain = simulated.join("plain", "none");
    let message = json!({"action": "message", "to": "renewing", "content": "x"});
    for round in 0..3 {
        // With the next frame, in one write.
        client.connection.refresh_traffic_keys().unwrap();
        let wire = client.say(&mut simulated, &ping().to_string());
        let key_update = [0x17, 3, 3, 0, 5 + 1 + 16]; // sealed: 5 bytes, their type, the tag
        assert_eq!(wire[..5], key_update, "{round}");
        assert_eq!(actions(&client.open(&wire)), ["pong"]);

        // Twice and alone: the relay has nothing to say then, and renews once before it has.
        for _ in 0..2 {
            client.connection.refresh_traffic_keys().unwrap();
            let wire = client.say(&mut simulated, "");
            client.open(&wire);
        }
        say(&mut plain, &message);
        simulated.settle();
        let wire = client.peer.receive_all();
        assert_eq!(actions(&client.open(&wire)), ["message"], "{round}");
        assert_eq!(actions(&client.ask(&mut simulated, &ping().to_string())), ["pong"]);
    }
}

/// Half of a key update is a record that was begun.
#[test]
fn a_key_update_that_is_never_finished_ends_its_connection() {
    let (mut simulated, mut client) = Renewing::arrive();
    client.ask(&mut simulated, &register("renewing", "none").to_string());
    client.connection.refresh_traffic_keys().unwrap();
    let mut wire = Vec::new();
    client.connection.write_tls(&mut wire).unwrap();
    client.peer.send(&wire[..wire.len() - 1]);
    simulated.settle();
    simulated.pass(FRAME_TIMEOUT);
    assert_eq!(simulated.counters()["ended_frame_timeout"], 1);
    let wire = client.peer.receive_all();
    assert_eq!(actions(&client.open(&wire)), ["frame_timeout"]);
}

/// Parts of a message of the handshake that is never whole: the engine joins them, and nothing that
/// counts memory sees them.
#[test]
fn a_message_of_the_handshake_that_never_ends_is_refused() {
    let (mut simulated, mut client) = Renewing::arrive();
    client.ask(&mut simulated, &register("renewing", "none").to_string());
    let (number, secrets) = client.connection.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("another suite") };
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
    for part in 0..2 {
        // A record of 800 bytes of a key update (RFC 8446, section 4) that announces 65,024.
        let mut sealed = [&[24, 0, 0xfe, 0][..], &[0; 796], &[0x16]].concat();
        let length = u16::try_from(sealed.len() + 16).unwrap().to_be_bytes();
        let header = [0x17, 3, 3, length[0], length[1]];
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        for (byte, count) in nonce[4..].iter_mut().zip((number + part).to_be_bytes()) {
            *byte ^= count;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
        client.peer.send(&[&header[..], &sealed].concat());
        simulated.settle();
    }
    let counters = simulated.counters();
    assert_eq!(counters.get("tls_failed_too_long"), Some(&1), "{counters:?}");
}

#[test]
fn who_has_begun_with_tls_is_never_answered_in_the_clear() {
    let mut simulated = start(false);
    let mut guest = Guest { peer: simulated.dial(), tunnel: Tunnel::tls() };
    let hello = guest.tunnel.seal(b"").0;
    guest.peer.send(&hello[..100]);
    simulated.settle();
    simulated.pass(REGISTER_TIMEOUT);
    let answer = guest.peer.receive_all();
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");

    let mut half = simulated.dial();
    half.send(&hello[..100]);
    half.shut();
    simulated.settle();
    let answer = half.receive_all();
    assert!(answer.first().is_none_or(|&first| first == 0x15), "an alert: {answer:?}");
}
