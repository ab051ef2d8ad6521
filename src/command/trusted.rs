//! Sentences about a peer's key, for a running `chat` and for `sealwax keys`, with the exit code of
//! each.

use super::Exit;
use crate::client::{Client, NotTrusted};
use crate::wire::Fingerprint;

/// `/verify NAME [NUMBER]`: shows the safety number, or compares it and marks the key.
pub(super) fn verify(client: &mut Client, name: &str, number: Option<&str>) -> (Exit, String) {
    let Some(expected) = client.safety_number(name) else {
        return (Exit::UnknownRecipient, unknown(name));
    };
    let Some(number) = number else {
        let shown = to_compare(name, &expected);
        return (Exit::Done, format!("{shown}\nif it is the same: /verify {name} {expected}"));
    };
    if !same_digits(number, &expected) {
        return (Exit::NotTrusted, differs(name, &expected));
    }
    match client.verify(name) {
        Ok(fp) => (Exit::Done, verified(name, &fp)),
        Err(why) => refused(name, &why),
    }
}

/// `/trust NAME [FP]`: accepts this key, or the one that was refused last.
pub(super) fn trust(client: &mut Client, name: &str, fp: Option<Fingerprint>) -> (Exit, String) {
    match client.trust(name, fp) {
        Ok(fp) => (Exit::Done, accepted(name, &fp)),
        Err(why) => refused(name, &why),
    }
}

/// No key is pinned.
pub(super) fn unknown(name: &str) -> String {
    format!("no key of {name} is known yet: write to {name} first")
}

/// The number, before anybody has compared it.
pub(super) fn to_compare(name: &str, number: &str) -> String {
    format!("you and {name} must both see this number; read it to each other:\n{number}")
}

/// What was given is not the number.
pub(super) fn differs(name: &str, number: &str) -> String {
    format!(
        "THIS IS NOT the number of {name}, which is\n{number}\nsomebody may stand between you: do \
         not go on"
    )
}

/// The key was compared.
pub(super) fn verified(name: &str, fp: &Fingerprint) -> String {
    format!("{name} is verified: {fp}")
}

/// The key was taken as it is.
pub(super) fn accepted(name: &str, fp: &Fingerprint) -> String {
    format!("{name} has the key {fp} from now on; nobody has compared it yet")
}

/// Whether two safety numbers are the same, however their digits are grouped.
pub(super) fn same_digits(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let only_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c.is_whitespace());
    only_digits(one) && only_digits(other) && digits(one) == digits(other)
}

fn refused(name: &str, why: &NotTrusted) -> (Exit, String) {
    match why {
        NotTrusted::NothingToTrust => (
            Exit::UnknownRecipient,
            format!("no other key of {name} was seen: there is nothing to accept"),
        ),
        NotTrusted::NotPinned => (Exit::UnknownRecipient, unknown(name)),
        NotTrusted::File(why) => {
            (Exit::Failed, format!("the trust file could not be written: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::same_digits;

    #[test]
    fn a_number_is_its_digits() {
        assert!(same_digits("12345 67890", "1234567890"));
        assert!(!same_digits("12345 67891", "1234567890"));
        assert!(!same_digits("12345 6789O", "1234567890"));
    }
}
