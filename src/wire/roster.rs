//! Rosters, which are long and go to many: encoded from names that are JSON strings already.

/// The `userlist` frame of the original, ending in a line end. `names` are JSON strings, quoted.
pub fn encode_userlist<'a>(_names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    todo!()
}

/// A `roster` frame, ending in a line end. Names are JSON strings, quoted; `whole` marks the first of a whole list.
pub fn encode_roster<'a>(
    _joined: impl Iterator<Item = &'a str>,
    _left: impl Iterator<Item = &'a str>,
    _whole: bool,
) -> Vec<u8> {
    todo!()
}
