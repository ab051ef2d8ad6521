//! What a client may ask of the relay (C→S), as the relay reads it (`docs/protocol.md`, section
//! 2).
//!
//! The form is checked here, the meaning by the relay: a request that was parsed has every member
//! that its action needs, each of its type, and nothing is known yet about names, keys and
//! signatures.

use std::borrow::Cow;

use super::{
    BadFrame, ErrorCode, Forward, ForwardKind, Letter, LetterKey, Object, Prekey, Refusal, Scan,
    Scanner, TakeMode, scan_common,
};
use crate::limits::MAX_ID;

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The id that its answer repeats; at most [`MAX_ID`] bytes.
    pub id: Option<Cow<'a, str>>,
    /// Whether it carried `"v":2`.
    pub version2: bool,
    /// What is asked.
    pub body: Body<'a>,
}

/// What is asked, by `action`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `register`: a name and a public key.
    Register(Register<'a>),
    /// `prove`: the answer to a challenge.
    Prove {
        /// RSA-PSS, as it came.
        signature: Vec<u8>,
    },
    /// `prekey`: another prekey to hand out.
    Prekey(Prekey),
    /// `get_pubkey`: another user's public key.
    Lookup {
        /// Whose.
        target: Cow<'a, str>,
        /// Whether the key for letters is wanted too, and an answer about a user who is away.
        letters: bool,
    },
    /// `letterbox`: keep letters that are sealed to this key.
    Letterbox(LetterKey),
    /// `letter`: a frame that waits for another user.
    Letter(Letter<'a>),
    /// `letters`: deliver what waits, and what will come.
    Take(TakeMode),
    /// `ack`: this letter is needed no more.
    Ack {
        /// The number under which it was delivered.
        number: u64,
    },
    /// `send_key` or `message`: a frame for another user.
    Forward(Forward<'a>),
    /// `ping`: are you there?
    Ping,
}

/// A registration. The relay checks whether `name` is a name and `pubkey` a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// The name asked for.
    pub name: Cow<'a, str>,
    /// The public key, PEM.
    pub pubkey: Cow<'a, str>,
    /// Which rosters are wanted.
    pub roster: RosterMode,
    /// What only a version-2 registration has.
    pub v2: Option<Registration2>,
}

/// What only a version-2 registration has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration2 {
    /// The client's random part of the proof.
    pub cnonce: [u8; 32],
    /// The prekey to hand out.
    pub prekey: Prekey,
    /// What the registration is to be bound to.
    pub bind: Bind,
}

/// What a registration is to be bound to, so that it holds on this connection and on no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// Nothing.
    #[default]
    None,
    /// What both ends of its TLS connection export (RFC 9266).
    TlsExporter,
    /// Something that is not known.
    Unknown,
}

/// Which rosters a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RosterMode {
    /// The whole list on each change, as the original sends it.
    #[default]
    Full,
    /// The whole list once, then changes.
    Delta,
    /// Nothing.
    None,
}

impl<'a> Request<'a> {
    /// Looks for the next frame, as [`Scanner::scan`] does, and reads it, as [`Self::parse`] does:
    /// where it ends, and what it asks. The common frame takes one pass for both (`fast.rs`).
    pub fn scan(
        scanner: &mut Scanner,
        unconsumed: &'a [u8],
        max_frame: usize,
    ) -> Scan<(usize, Result<Self, Refusal>)> {
        if scanner.is_fresh()
            && let Some((end, request)) = scan_common(unconsumed, max_frame)
        {
            return Scan::Frame((end, Ok(request)));
        }
        match scanner.scan(unconsumed, max_frame) {
            Scan::Frame(place) => Scan::Frame((place.end, Self::parse(&unconsumed[place]))),
            Scan::Incomplete { consumed } => Scan::Incomplete { consumed },
            Scan::Refused(fault) => Scan::Refused(fault),
        }
    }

    /// Reads a frame: exactly the bytes of a [`Scan::Frame`]. An action that is not known is
    /// refused too.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Refusal> {
        let object = Object::read(frame)?;
        Self::interpret(&object).map_err(|refusal| {
            let text = |name| object.string(name).ok().flatten();
            refusal.about(text("id").as_deref(), text("to").as_deref(), text("target").as_deref())
        })
    }

    /// The refusal of this request.
    pub fn refuse(&self, code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Refusal {
        let (to, target) = match &self.body {
            Body::Forward(forward) => (Some(&*forward.to), None),
            Body::Letter(letter) => (Some(&*letter.to), None),
            Body::Lookup { target, .. } => (None, Some(&**target)),
            _ => (None, None),
        };
        Refusal::new(code, detail).about(self.id.as_deref(), to, target)
    }

    fn interpret(object: &Object<'a>) -> Result<Self, Refusal> {
        object.check()?;
        let id = object.string("id")?;
        if id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(BadFrame::form("id").into());
        }
        let version2 = object.version2()?;
        object.place("from")?;
        let body = match &*object.text("action")? {
            "register" => Body::Register(Register::interpret(object, version2)?),
            "prove" => Body::Prove { signature: object.bytes("sig")? },
            "prekey" => Body::Prekey(prekey(object)?),
            "get_pubkey" => Body::Lookup {
                target: object.text("target")?,
                letters: object.value("letters")?.unwrap_or(false),
            },
            "letterbox" => Body::Letterbox(letter_key(object)?),
            "letter" => Body::Letter(Letter::interpret(object)?),
            "letters" => {
                let mode = TakeMode::named(&object.text("take")?);
                Body::Take(mode.ok_or_else(|| BadFrame::form("take"))?)
            }
            "ack" => Body::Ack { number: object.required("box")? },
            "send_key" => Body::Forward(Forward::interpret(object, ForwardKind::SendKey)?),
            "message" => Body::Forward(Forward::interpret(object, ForwardKind::Message)?),
            "ping" => Body::Ping,
            _ => return Err(Refusal::new(ErrorCode::UnknownAction, "no such action")),
        };
        Ok(Self { id, version2, body })
    }
}

impl<'a> Register<'a> {
    fn interpret(object: &Object<'a>, version2: bool) -> Result<Self, Refusal> {
        let roster = match object.string("roster")?.as_deref() {
            None => RosterMode::default(),
            Some(mode) => RosterMode::named(mode).ok_or_else(|| BadFrame::form("roster"))?,
        };
        let v2 = if version2 {
            let bind = match object.string("bind")?.as_deref() {
                None => Bind::None,
                Some(Bind::TLS_EXPORTER) => Bind::TlsExporter,
                Some(_) => Bind::Unknown,
            };
            Some(Registration2 { cnonce: object.array("cnonce")?, prekey: prekey(object)?, bind })
        } else {
            None
        };
        Ok(Self { name: object.text("name")?, pubkey: object.text("pubkey")?, roster, v2 })
    }
}

impl Bind {
    /// As it stands in the frame.
    pub const TLS_EXPORTER: &str = "tls-exporter";
}

impl RosterMode {
    /// The mode as it stands in the frame.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
            Self::None => "none",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Full, Self::Delta, Self::None].into_iter().find(|mode| mode.as_str() == name)
    }
}

fn prekey(object: &Object) -> Result<Prekey, Refusal> {
    let json = object.raw("prekey").ok_or_else(|| BadFrame::missing("prekey"))?;
    Prekey::parse(json).map_err(|bad| Refusal::new(ErrorCode::BadPrekey, bad.0))
}

fn letter_key(object: &Object) -> Result<LetterKey, Refusal> {
    let json = object.raw("key").ok_or_else(|| BadFrame::missing("key"))?;
    LetterKey::parse(json).map_err(|bad| Refusal::new(ErrorCode::BadPrekey, bad.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_LETTER_TEXT;
    use crate::wire::letter_end;

    fn parse(frame: &str) -> Result<Request<'_>, Refusal> {
        Request::parse(frame.as_bytes())
    }

    fn code(frame: &str) -> ErrorCode {
        parse(frame).expect_err(frame).code
    }

    #[test]
    fn an_original_registration_is_read() {
        let request = parse(r#"{"action": "register", "name": "JG", "pubkey": "PEM\n"}"#).unwrap();
        let register = Register {
            name: "JG".into(),
            pubkey: "PEM\n".into(),
            roster: RosterMode::Full,
            v2: None,
        };
        let body = Body::Register(register);
        assert_eq!(request, Request { id: None, version2: false, body });
    }

    #[test]
    fn an_id_is_a_string_of_at_most_its_bytes() {
        let ping = |id: &str| format!(r#"{{"action":"ping","id":{id}}}"#);
        let longest = "é".repeat(MAX_ID / 2);
        assert_eq!(parse(&ping(&format!("\"{longest}\""))).unwrap().id, Some(longest.into()));
        assert_eq!(parse(r#"{"action":"ping"}"#).unwrap().id, None);
        let too_long = format!("\"{}\"", "x".repeat(MAX_ID + 1));
        for id in [&too_long, "7", "null", "{}"] {
            assert_eq!(code(&ping(id)), ErrorCode::BadFrame, "{id}");
        }
    }

    #[test]
    fn the_version_is_the_number_2_or_absent() {
        assert!(parse(r#"{"action":"ping","v":2}"#).unwrap().version2);
        for v in ["1", "3", "\"2\"", "2.0", "null", "[2]", "true"] {
            assert_eq!(code(&format!(r#"{{"action":"ping","v":{v}}}"#)), ErrorCode::BadFrame);
        }
    }

    #[test]
    fn known_members_have_their_type_and_form() {
        let wrong = [
            "{}",
            r#"{"action":1}"#,
            r#"{"action":"ping","from":7}"#,
            r#"{"action":"register","name":"a"}"#,
            r#"{"action":"register","name":1,"pubkey":"p"}"#,
            r#"{"action":"register","name":"a","pubkey":null}"#,
            r#"{"action":"register","name":"a","pubkey":"p","roster":"some"}"#,
            r#"{"action":"register","name":"a","pubkey":"p","roster":true}"#,
            r#"{"action":"register","name":"a","pubkey":"p","v":2}"#,
            r#"{"action":"register","name":"a","pubkey":"p","v":2,"cnonce":"AA","prekey":{}}"#,
            r#"{"action":"prove"}"#,
            r#"{"action":"prove","sig":"AB"}"#,
            r#"{"action":"prekey"}"#,
            r#"{"action":"get_pubkey"}"#,
            r#"{"action":"get_pubkey","target":["bob"]}"#,
            r#"{"action":"message","to":"bob"}"#,
            r#"{"action":"message","to":"bob","content":{}}"#,
            r#"{"action":"message","content":"x"}"#,
            r#"{"action":"message","to":"bob","content":"x","from":null}"#,
            r#"{"action":"send_key","to":"bob","content":"x"}"#,
            r#"{"action":"get_pubkey","target":"bob","letters":1}"#,
            r#"{"action":"letters"}"#,
            r#"{"action":"letters","take":"some"}"#,
            r#"{"action":"ack"}"#,
            r#"{"action":"ack","box":-1}"#,
            r#"{"action":"ack","box":18446744073709551616}"#,
            r#"{"action":"letterbox"}"#,
        ];
        for frame in wrong {
            assert_eq!(code(frame), ErrorCode::BadFrame, "{frame}");
        }
    }

    #[test]
    fn every_member_of_a_letter_has_its_form() {
        let good = r#"{"action":"letter","to":"bob","id":"7","kind":0,"key_id":1,"content":"x"}"#;
        let Body::Letter(letter) = parse(good).unwrap().body else { panic!("no letter") };
        assert_eq!((&*letter.to, &*letter.id, letter.key_id), ("bob", "7", 1));
        let kept = [letter.to_keep(b"\"JG\""), letter_end(9).into_bytes()].concat();
        let delivered = good.replace('}', r#","from":"JG", "box": 9}"#) + "\n";
        assert_eq!(String::from_utf8(kept).unwrap(), delivered);
        let too_long = format!("\"content\":\"{}\"", "x".repeat(MAX_LETTER_TEXT + 1));
        let changes = [
            (r#""to":"bob""#, r#""to":1"#),
            (r#""id":"7""#, r#""new":1"#),
            (r#""kind":0"#, r#""kind":2"#),
            (r#""kind":0"#, r#""kind":"0""#),
            (r#""key_id":1"#, r#""key_id":4294967296"#),
            (r#""content":"x""#, r#""content":1"#),
            (r#""content":"x""#, too_long.as_str()),
            (r#""content":"x""#, r#""content":"x","box":1"#),
        ];
        for (member, change) in changes {
            assert_eq!(code(&good.replace(member, change)), ErrorCode::BadFrame, "{change}");
        }
    }

    #[test]
    fn a_prekey_of_the_wrong_form_has_its_own_code() {
        assert_eq!(code(r#"{"action":"prekey","prekey":{}}"#), ErrorCode::BadPrekey);
        assert_eq!(code(r#"{"action":"letterbox","key":{}}"#), ErrorCode::BadPrekey);
        let frame =
            r#"{"action":"register","name":"a","pubkey":"p","v":2,"cnonce":"C","prekey":7}"#;
        assert_eq!(code(&frame.replace('C', &"A".repeat(43))), ErrorCode::BadPrekey);
    }

    #[test]
    fn a_refusal_names_the_request_wherever_it_can() {
        let named = |id: &str, to: &str| Refusal {
            id: Some(id.to_owned()),
            to: Some(to.to_owned()),
            ..Refusal::new(ErrorCode::BadFrame, "")
        };
        let same = |frame: &str, expected: Refusal| {
            let refusal = Refusal { detail: "".into(), ..parse(frame).unwrap_err() };
            assert_eq!(refusal, expected, "{frame}");
        };
        same(r#"{"action":"message","id":"7","to":"bob"}"#, named("7", "bob"));
        same(r#"{"id":"7","to":"bob","x":[[[[[[[[]]]]]]]]}"#, named("7", "bob"));
        same(r#"{"id":"7","to":"bob","x":"\ud800"}"#, named("7", "bob"));
        same(r#"{"id":"7","to":"bob","x":1,"x":2}"#, named("7", "bob"));
        same(r#"{"id":7,"to":["bob"]}"#, Refusal::new(ErrorCode::BadFrame, ""));
        same(r#"{"id":"7","to":"bob","#, Refusal::new(ErrorCode::BadFrame, ""));
        let long = format!(r#"{{"id":"{0}","to":"{0}"}}"#, "x".repeat(65));
        same(&long, Refusal::new(ErrorCode::BadFrame, ""));
        let unknown = parse(r#"{"action":"dance","id":"7","target":"bob"}"#).unwrap_err();
        assert_eq!(unknown.code, ErrorCode::UnknownAction);
        assert_eq!((unknown.id.as_deref(), unknown.target.as_deref()), (Some("7"), Some("bob")));
    }

    #[test]
    fn the_relay_refuses_what_was_parsed_by_the_same_names() {
        let frame = r#"{"action":"message","id":"7","to":"bob","content":"x"}"#;
        let refusal = parse(frame).unwrap().refuse(ErrorCode::UnknownUser, "no such user");
        assert_eq!((refusal.id.as_deref(), refusal.to.as_deref()), (Some("7"), Some("bob")));
    }
}
