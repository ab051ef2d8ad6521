//! Rosters: encoded once, sent to many. A name arrives as the JSON string that its user's
//! registration made of it, so a list of 100,000 costs no escaping.

use super::encode::Encoder;

/// The bytes of a `roster` frame without names; each name takes its own and 2 more. Used to keep a
/// frame within the limit. The line end is not counted, since the limit does not count it.
pub const ROSTER_OVERHEAD: usize =
    r#"{"action": "roster", "joined": [], "left": [], "whole": true}"#.len();

/// The original's `userlist` frame, ending in a line end. `names` are JSON strings, quoted.
pub fn encode_userlist<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    Encoder::action("userlist").list("users", names).end()
}

/// A `roster` frame, ending in a line end: who came and who went, or (`whole`) the first frame of
/// a whole list. Names are JSON strings, quoted.
pub fn encode_roster<'a>(
    joined: impl Iterator<Item = &'a str>,
    left: impl Iterator<Item = &'a str>,
    whole: bool,
) -> Vec<u8> {
    let frame = Encoder::action("roster").list("joined", joined).list("left", left);
    if whole { frame.json("whole", "true").end() } else { frame.end() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_userlist_is_spaced_as_the_original_wrote_it() {
        let text = |names: &[&'static str]| {
            String::from_utf8(encode_userlist(names.iter().copied())).unwrap()
        };
        assert_eq!(text(&[]), "{\"action\": \"userlist\", \"users\": []}\n");
        assert_eq!(
            text(&["\"JG\"", "\"yidir\""]),
            "{\"action\": \"userlist\", \"users\": [\"JG\", \"yidir\"]}\n"
        );
    }

    #[test]
    fn the_overhead_bounds_a_roster() {
        let names = ["\"a\"", "\"bc\"", "\"d\""];
        let frame = encode_roster(names.into_iter(), names.into_iter(), true);
        let bound = names.iter().map(|name| name.len() + 2).sum::<usize>() * 2 + ROSTER_OVERHEAD;
        assert!(frame.len() - 1 <= bound);
        assert_eq!(encode_roster([].into_iter(), [].into_iter(), true).len() - 1, ROSTER_OVERHEAD);
    }
}
