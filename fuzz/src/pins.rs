//! The trust file: whatever a hand, another program or a crash has made of `known_peers`.

use sealwax::client::{PeerPin, PinFile, Trust};
use sealwax::wire::Fingerprint;

/// A file's text. What we understand comes out again, what we do not stays as it was, and a change
/// touches its own line and no other.
pub fn pins(input: &[u8]) {
    let file = PinFile::<PeerPin>::parse(input);
    let text = file.render();
    let again = PinFile::<PeerPin>::parse(&text);
    assert_eq!(again.render(), text, "written again it is the same");
    assert!(again.iter().eq(file.iter()), "and says the same");
    assert!(again.damaged().eq(file.damaged()), "its damaged lines are where they were");
    let (before, after) = (lines(input), lines(&text));
    for number in file.damaged() {
        assert_eq!(before[number - 1], after[number - 1], "a damaged line is kept");
    }
    let verified = file.iter().filter(|pin| pin.trust == Trust::Verified).count();
    let said = input.windows(8).filter(|word| word == b"verified").count();
    assert!(verified <= said, "nobody is verified whom the text does not call so");
    change(again, &after);
}

/// Pins one more name, and takes it away again.
fn change(mut file: PinFile<PeerPin>, lines_before: &[&[u8]]) {
    const NAME: &str = "z.fuzz-z";
    if file.find(NAME).is_some() {
        return;
    }
    let text = file.render();
    file.accept(NAME, Fingerprint([7; 32]), 1);
    let accepted = file.render();
    assert_eq!(lines(&accepted)[..lines_before.len()], *lines_before, "the others are untouched");
    assert_eq!(file.find(NAME).map(|pin| pin.trust), Some(Trust::Tofu), "and nothing is compared");
    assert!(file.remove(NAME));
    assert_eq!(file.render(), text, "as if it had never been");
}

/// The lines of a text, whose last one may lack its end; none where there is no text.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() {
        return Vec::new();
    }
    text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n').collect()
}
