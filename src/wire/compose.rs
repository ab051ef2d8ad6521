//! What our client sends (C→S): each function makes one frame of version 2, ending in a line end.

use super::encode::Encoder;
use super::{
    Bind, ForwardKind, LetterKey, LetterKind, Prekey, Registration2, RosterMode, TakeMode, base64,
};

/// `register`; with `v2` a registration of version 2, which a `challenge` answers, without it an
/// original's.
pub fn register(name: &str, pem: &str, roster: RosterMode, v2: Option<&Registration2>) -> Vec<u8> {
    let frame = Encoder::action("register").value("name", name).value("pubkey", pem);
    let frame = match roster {
        RosterMode::Full => frame,
        mode => frame.value("roster", mode.as_str()),
    };
    let Some(v2) = v2 else { return frame.end() };
    let frame = frame
        .value("v", &2)
        .value("cnonce", &base64::encode(&v2.cnonce))
        .json("prekey", &v2.prekey.to_json());
    let bind = (v2.bind == Bind::TlsExporter).then_some(Bind::TLS_EXPORTER);
    frame.optional("bind", bind).end()
}

/// `prove`: the signature that the challenge asked for.
pub fn prove(signature: &[u8]) -> Vec<u8> {
    Encoder::action("prove").value("v", &2).value("sig", &base64::encode(signature)).end()
}

/// `prekey`: from now on hand out this one.
pub fn prekey(prekey: &Prekey) -> Vec<u8> {
    Encoder::action("prekey").value("v", &2).json("prekey", &prekey.to_json()).end()
}

/// `get_pubkey`: the public key of `target`, and what letters to it are sealed to.
pub fn get_pubkey(target: &str, from: &str) -> Vec<u8> {
    let frame = Encoder::action("get_pubkey").value("target", target).value("from", from);
    frame.value("letters", &true).end()
}

/// `letterbox`: from now on keep letters that are sealed to this key.
pub fn letterbox(key: &LetterKey) -> Vec<u8> {
    Encoder::action("letterbox").value("v", &2).json("key", &key.to_json()).end()
}

/// `letter`, of this kind and sealed to the letter key of this id; `content` is base64url.
pub fn letter(
    to: &str,
    from: &str,
    id: &str,
    (kind, key_id): (LetterKind, u32),
    content: &str,
) -> Vec<u8> {
    Encoder::action("letter")
        .value("to", to)
        .value("from", from)
        .value("v", &2)
        .value("id", id)
        .value("kind", &kind.number())
        .value("key_id", &key_id)
        .value("content", content)
        .end()
}

/// `letters`: deliver these from now on.
pub fn letters(take: TakeMode) -> Vec<u8> {
    Encoder::action("letters").value("v", &2).value("take", take.as_str()).end()
}

/// `ack`: the letter that was delivered under this number is needed no more.
pub fn ack(number: u64) -> Vec<u8> {
    Encoder::action("ack").value("v", &2).value("box", &number).end()
}

/// `send_key`; `key` is base64url.
pub fn send_key(to: &str, from: &str, key: &str) -> Vec<u8> {
    forward(ForwardKind::SendKey, to, from, None, key)
}

/// `message`; `content` is base64url. With an `id` the relay answers `relayed` or `error`,
/// without one only `error`.
pub fn message(to: &str, from: &str, id: Option<&str>, content: &str) -> Vec<u8> {
    forward(ForwardKind::Message, to, from, id, content)
}

/// `ping`.
pub fn ping(id: &str) -> Vec<u8> {
    Encoder::action("ping").value("id", id).end()
}

fn forward(kind: ForwardKind, to: &str, from: &str, id: Option<&str>, body: &str) -> Vec<u8> {
    Encoder::action(kind.action())
        .value("to", to)
        .value("from", from)
        .value("v", &2)
        .value(kind.body_name(), body)
        .optional("id", id) // last, so that the frames of a conversation begin alike (`fast.rs`)
        .end()
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Register, Request};
    use super::*;

    /// `frame` without its line end, as the relay reads it.
    fn parse(frame: &[u8]) -> Request<'_> {
        Request::parse(frame.strip_suffix(b"\n").unwrap()).unwrap()
    }

    fn some_prekey() -> Prekey {
        Prekey {
            id: 1,
            created: 2,
            expires: 3,
            x25519: [4; 32],
            mlkem: None,
            signature: vec![5; 384],
        }
    }

    #[test]
    fn registrations_are_read_as_they_were_meant() {
        let bind = Bind::TlsExporter;
        let v2 = Registration2 { cnonce: [9; 32], prekey: some_prekey(), bind };
        let modes = [RosterMode::Full, RosterMode::Delta, RosterMode::None];
        for (roster, v2) in modes.into_iter().zip([Some(v2.clone()), Some(v2), None]) {
            let frame = register("alice", "-----\n", roster, v2.as_ref());
            let (name, pubkey) = ("alice".into(), "-----\n".into());
            let version2 = v2.is_some();
            let body = Body::Register(Register { name, pubkey, roster, v2 });
            assert_eq!(parse(&frame), Request { id: None, version2, body });
        }
    }

    #[test]
    fn an_original_registration_is_the_originals() {
        let frame = register("JG", "PEM\n", RosterMode::Full, None);
        let original = r#"{"action": "register", "name": "JG", "pubkey": "PEM\n"}"#;
        assert_eq!(String::from_utf8(frame).unwrap(), format!("{original}\n"));
    }

    #[test]
    fn the_other_requests_are_read_as_they_were_meant() {
        let signature = vec![7; 384];
        let id = Some("7".into());
        let expected = Request { id: None, version2: true, body: Body::Prove { signature } };
        assert_eq!(parse(&prove(&[7; 384])), expected);
        let expected = Request { id: None, version2: true, body: Body::Prekey(some_prekey()) };
        assert_eq!(parse(&prekey(&some_prekey())), expected);
        let body = Body::Lookup { target: "a\"b".into(), letters: true };
        let expected = Request { id: None, version2: false, body };
        assert_eq!(parse(&get_pubkey("a\"b", "alice")), expected);
        let expected = Request { id, version2: false, body: Body::Ping };
        assert_eq!(parse(&ping("7")), expected);
    }

    #[test]
    fn what_is_forwarded_is_passed_on_as_it_was_made() {
        let frames = [send_key("bob", "alice", "AQ"), message("bob", "alice", Some("7"), "AQ")];
        for (frame, id) in frames.iter().zip([None, Some("7")]) {
            let request = parse(frame);
            assert_eq!((request.id.as_deref(), request.version2), (id, true));
            let Body::Forward(forward) = request.body else { panic!("not forwarded") };
            assert_eq!((&*forward.to, forward.body_len), ("bob", 2));
            assert_eq!(forward.bytes.parts(b"\"alice\"").concat(), *frame);
        }
    }
}
