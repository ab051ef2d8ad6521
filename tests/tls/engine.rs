//! Two engines that are handed each other's bytes.

use std::io::IoSlice;

use proptest::prelude::*;
use sealwax::reactor::Garbled;
use sealwax::tls::limits::{MAX_HANDSHAKE, RECORDS_A_TURN, SEALED_AT_ONCE};
use sealwax::tls::{ClientTls, Engines, Fault, Hello, ServerTls};

use crate::support::transform::{RECORD, Tunnel};

fn server() -> Tunnel {
    Tunnel::new(ServerTls::self_signed().unwrap().engine().unwrap())
}

fn client() -> Tunnel {
    Tunnel::new(ClientTls::bound().unwrap().engine().unwrap())
}

/// Two ends that have agreed.
fn agreed() -> (Tunnel, Tunnel) {
    let (mut client, mut server) = (client(), server());
    server.open(&client.seal(b"").0).unwrap();
    client.open(&server.seal(b"").0).unwrap();
    server.open(&client.seal(b"").0).unwrap();
    assert!(client.engine.binding().is_some());
    (client, server)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

#[test]
fn both_ends_export_the_same_and_no_two_connections_do() {
    let (client, server) = agreed();
    let binding = client.engine.binding();
    assert_eq!(binding, server.engine.binding());
    let (other, _) = agreed();
    assert_ne!(binding, other.engine.binding());
    assert_eq!(self::client().engine.binding(), None, "before they have agreed there is none");
}

#[test]
fn nothing_is_taken_before_the_ends_have_agreed() {
    let (mut client, mut server) = (client(), server());
    let (hello, taken) = client.seal(b"too early");
    assert_eq!(taken, 0);
    assert_eq!(Hello::look(&hello), Hello::Whole);
    assert!(!hello.windows(5).any(|part| part == b"early"));
    server.open(&hello).unwrap();
    let (flight, taken) = server.seal(b"too early");
    assert_eq!(taken, 0, "nor by who answers");
    client.open(&flight).unwrap();
    let (wire, taken) = client.seal(b"now");
    assert_eq!(taken, 3);
    server.open(&wire).unwrap();
    assert_eq!(server.plain, b"now");
    assert!(!wire.windows(3).any(|part| part == b"now"));
}

/// All that one end says in a short conversation, cut at each place, and byte by byte.
#[test]
fn it_does_not_matter_where_the_bytes_are_cut() {
    let tls = ServerTls::self_signed().unwrap();
    let bound = ClientTls::bound().unwrap();
    let mut longest = 0;
    for cut in 0.. {
        let mut client = Tunnel::new(bound.engine().unwrap());
        let mut server = Tunnel::new(tls.engine().unwrap());
        let give = |to: &mut Tunnel, wire: &[u8]| {
            let (head, tail) = wire.split_at(cut.min(wire.len()));
            if cut == 0 {
                for byte in wire {
                    to.open(&[*byte]).unwrap();
                }
            } else {
                to.open(head).unwrap();
                to.open(tail).unwrap();
            }
            wire.len()
        };
        for (plain, answer) in [(&b""[..], &b""[..]), (b"question", b"answer")] {
            longest = longest.max(give(&mut server, &client.seal(plain).0));
            longest = longest.max(give(&mut client, &server.seal(answer).0));
        }
        give(&mut server, &client.finish());
        assert_eq!((&server.plain[..], &client.plain[..]), (&b"question"[..], &b"answer"[..]));
        assert!(server.is_over && !client.is_over);
        if cut > longest {
            break;
        }
    }
    assert!(longest > 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_sealed_is_opened_whatever_the_pieces(
        lengths in prop::collection::vec(0_usize..40_000, 1..8),
        step in 1_usize..20_000,
        room in 1_usize..40_000,
    ) {
        let (mut client, mut server) = agreed();
        let (mut sent, mut wire, mut came) = (Vec::<u8>::new(), Vec::new(), Vec::<u8>::new());
        for length in lengths {
            let plain = pattern(length);
            let (head, tail) = plain.split_at(length / 3);
            let taken = client.engine.seal(&[IoSlice::new(head), IoSlice::new(tail)], &mut wire);
            prop_assert_eq!(taken, length.min(SEALED_AT_ONCE));
            sent.extend(&plain[..taken]);
        }
        let mut plain = vec![0; room];
        let mut offered: Vec<u8> = Vec::new();
        while came.len() < sent.len() {
            let more = step.min(wire.len());
            offered.extend(wire.drain(..more));
            let progress = server.engine.open(&offered, &mut plain).unwrap();
            prop_assert!(progress.taken + progress.filled > 0 || more > 0, "it stands still");
            offered.drain(..progress.taken);
            came.extend(&plain[..progress.filled]);
            prop_assert!(progress.memory <= 2 * RECORD + 4096, "{}", progress.memory);
        }
        prop_assert!(came == sent);
    }
}

/// One record of 16 KiB for what fits into it: not one for each slice.
#[test]
fn what_is_sealed_together_is_one_record() {
    let (mut client, _) = agreed();
    let parts: Vec<IoSlice> = (0..60).map(|_| IoSlice::new(&[7; 100])).collect();
    let mut wire = Vec::new();
    assert_eq!(client.engine.seal(&parts, &mut wire), 6000);
    assert_eq!(wire.len(), 5 + 6000 + 17);
}

#[test]
fn a_turn_opens_so_many_records_and_no_more() {
    let (mut client, mut server) = agreed();
    let mut wire = Vec::new();
    for _ in 0..RECORDS_A_TURN + 10 {
        client.engine.seal(&[IoSlice::new(b"x")], &mut wire);
    }
    let mut plain = vec![0; 1000];
    let first = server.engine.open(&wire, &mut plain).unwrap();
    assert_eq!(first.filled, RECORDS_A_TURN);
    let second = server.engine.open(&wire[first.taken..], &mut plain).unwrap();
    assert_eq!((second.filled, second.memory), (10, 0));
}

/// A record within holds no more than itself, and none of its memory counts when it was taken.
#[test]
fn what_does_not_fit_stays_within_and_counts() {
    let (mut client, mut server) = agreed();
    let wire = client.seal(&pattern(RECORD)).0;
    let mut plain = vec![0; 1000];
    let part = server.engine.open(&wire[..10_000], &mut plain).unwrap();
    assert_eq!((part.taken, part.filled, part.is_partial), (10_000, 0, true));
    assert!((10_000..=12 * 1024).contains(&part.memory));
    let mut came: Vec<u8> = Vec::new();
    let mut step = server.engine.open(&wire[10_000..], &mut plain).unwrap();
    assert!(step.has_more && !step.is_partial);
    while step.filled > 0 {
        came.extend(&plain[..step.filled]);
        step = server.engine.open(&[], &mut plain).unwrap();
    }
    assert!(came == pattern(RECORD));
    assert_eq!((step.has_more, step.memory), (false, 0));
}

#[test]
fn each_way_to_fail_has_its_name_and_the_other_end_is_told() {
    // Plaintext where a record is expected, in the handshake and after it.
    for is_agreed in [false, true] {
        let (mut client, mut server) = if is_agreed { agreed() } else { (client(), server()) };
        let hello = client.seal(b"").0;
        let why = server.open(b"{\"action\": \"register\"}").unwrap_err();
        assert_eq!(Fault::of(why), Fault::NoTls);
        let alert = server.seal(b"nothing is taken after it").0;
        assert_eq!(alert[0], 0x15 + 2 * u8::from(is_agreed), "an alert");
        if !is_agreed {
            assert!(!hello.is_empty());
        }
        assert_eq!(Fault::of(client.open(&alert).unwrap_err()), Fault::Alert);
    }

    let (mut client, mut server) = agreed();
    let mut wire = client.seal(b"changed on the way").0;
    *wire.last_mut().unwrap() ^= 1;
    assert_eq!(Fault::of(server.open(&wire).unwrap_err()), Fault::Decrypt);

    // TLS within TLS: there is no second handshake, so this is a record under no key.
    let (_, mut server) = agreed();
    let hello = Tunnel::tls().seal(b"").0;
    assert_eq!(Fault::of(server.open(&hello).unwrap_err()), Fault::Decrypt);

    // A record of more than 18 KiB is refused at its header.
    let (_, mut server) = agreed();
    let why = server.open(&[0x17, 3, 3, 0x48, 1]).unwrap_err();
    assert!(matches!(Fault::of(why), Fault::TooLong | Fault::NoTls), "{why:?}");
}

/// A handshake goes on for 16 KiB at most, whatever it is made of.
#[test]
fn a_handshake_does_not_go_on_for_ever() {
    let (mut client, mut server) = (client(), server());
    server.open(&client.seal(b"").0).unwrap();
    let _ = server.seal(b"");
    let mut came = 0;
    let why: Garbled = loop {
        // Records that do not open yet: whoever has not agreed cannot tell.
        match server.open(&[0x14, 3, 3, 0, 1, 1]) {
            Ok(()) => came += 6,
            Err(why) => break why,
        }
        assert!(came < MAX_HANDSHAKE, "it goes on");
    };
    assert!(matches!(Fault::of(why), Fault::TooLong | Fault::Misbehaved));
}

#[test]
fn garbage_after_the_end_is_nobodys() {
    let (mut client, mut server) = agreed();
    let mut wire = client.seal(b"last").0;
    wire.extend(client.finish());
    wire.extend(b"whatever comes then");
    server.open(&wire).unwrap();
    assert_eq!(server.plain, b"last");
    assert!(server.is_over);
    let wire = server.seal(b"the other way is open still").0;
    client.open(&wire).unwrap();
    assert_eq!(client.plain, b"the other way is open still");
}

#[test]
fn a_certificate_and_a_key_that_do_not_fit_are_refused() {
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let refused = |certificate: &str, key: &str| {
        ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).err().unwrap().to_string()
    };
    assert!(refused("", "").contains("no certificate"));
    assert!(refused(&pem("CERTIFICATE"), "").contains("no private key"));
    assert!(refused(&pem("CERTIFICATE"), &pem("PRIVATE KEY")).contains("the key is damaged"));
}
