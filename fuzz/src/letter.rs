//! `letter`: what Bob takes for a letter of Alice's is one that Alice sealed to him.

use sealwax::crypto::{Body, Letter, LetterFault, LetterKeyPair, Mid, Vault, seal_letter};
use sealwax::wire::base64;

use super::opening::{ALICE, BOB, NAMES, bytes};
use super::vault::FakeVault;

const NOW: u64 = 1_750_000_000_000;
const MID: Mid = [3; 16];

/// The first byte chooses what the rest is: a text, or changes to a letter of Alice's (a place and
/// what to flip there).
pub fn letter(input: &[u8]) {
    let [form, content @ ..] = input else { return };
    let [alice, bob] = [&*ALICE, &*BOB].map(|key| FakeVault::new(key.clone()));
    let own = LetterKeyPair::new(&bob, NOW);
    let key = own.publish(&bob, NAMES.to);
    let body = Body::Text { mid: MID, text: "hello".to_owned() };
    let sealed = seal_letter(&alice, NAMES, bob.public(), &key, NOW, MID, &body);
    let true_one = sealed.unwrap_or_else(|fault| panic!("no letter: {fault}"));
    let text = match form % 2 {
        0 => str::from_utf8(content).map(str::to_owned).ok(),
        _ => Some(changed(&true_one, content)),
    };
    let Some(text) = text else { return };
    let taken = Letter::parse(&text).and_then(|letter| {
        let fields = [&[letter.kind().number()], &letter.mid()[..]].concat();
        assert_eq!(bytes(&text)[4..21], fields);
        assert_eq!(bytes(&text)[21..29], letter.created_ms().to_be_bytes());
        assert_eq!(bytes(&text)[29..61], letter.sender().0);
        assert_eq!(bytes(&text)[61..93], letter.recipient().0);
        assert_eq!(bytes(&text)[93..97], letter.key_id().to_be_bytes());
        letter.verify(&bob, alice.public(), NAMES, &own)?.open(&bob, &own)
    });
    match taken {
        Ok(opened) => assert!(text == true_one && opened == body),
        Err(fault) => assert!(text != true_one && !matches!(fault, LetterFault::Body(_))),
    }
}

fn changed(letter: &str, changes: &[u8]) -> String {
    let mut letter = bytes(letter);
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
        if let Some(byte) = letter.get_mut(place) {
            *byte ^= change[2];
        }
    }
    base64::encode(&letter)
}
