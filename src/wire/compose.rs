//! What our client sends (C→S): each function makes one frame, ending in a line end.

use super::{Prekey, Registration2, RosterMode};

/// `register`; with `v2` a registration of version 2, which a `challenge` answers.
pub fn register(
    _name: &str,
    _pubkey: &str,
    _roster: RosterMode,
    _v2: Option<&Registration2>,
) -> Vec<u8> {
    todo!()
}

/// `prove`: the signature that the challenge asked for.
pub fn prove(_signature: &[u8]) -> Vec<u8> {
    todo!()
}

/// `prekey`: from now on hand out this one.
pub fn prekey(_prekey: &Prekey) -> Vec<u8> {
    todo!()
}

/// `get_pubkey`: the public key of `target`.
pub fn get_pubkey(_target: &str, _from: &str) -> Vec<u8> {
    todo!()
}

/// `send_key` of version 2; `key` is base64url.
pub fn send_key(_to: &str, _from: &str, _key: &str) -> Vec<u8> {
    todo!()
}

/// `message` of version 2; `content` is base64url.
pub fn message(_to: &str, _from: &str, _id: Option<&str>, _content: &str) -> Vec<u8> {
    todo!()
}

/// `ping`.
pub fn ping(_id: &str) -> Vec<u8> {
    todo!()
}
