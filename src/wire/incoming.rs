//! What a client may receive (S→C), as the client reads it (`docs/protocol.md`, section 2).
//!
//! The relay is not trusted, so its frames have to follow the same rules as a client's.

use std::borrow::Cow;

use super::object::JsonText;
use super::{BadFrame, ForwardKind, LetterKind, Object, Reply, letter};

/// One frame from the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// An answer of the relay itself.
    Reply(Reply<'a>),
    /// `userlist`: everyone who is connected.
    Userlist {
        /// Their names.
        users: Vec<Cow<'a, str>>,
    },
    /// `roster`: who came and who went; a name in both lists left, then joined.
    Roster {
        /// Who came.
        joined: Vec<Cow<'a, str>>,
        /// Who went.
        left: Vec<Cow<'a, str>>,
        /// The first frame of a whole list: forget what was known before.
        whole: bool,
    },
    /// `send_key` or `message` of another user.
    Forwarded(Forwarded<'a>),
    /// `letter` of another user, which the relay has kept.
    Letter(KeptLetter<'a>),
    /// An action that this version does not know; to be ignored.
    Unknown {
        /// Which.
        action: Cow<'a, str>,
    },
}

/// What another user sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// Which of the two actions.
    pub kind: ForwardKind,
    /// The sender, as the relay says.
    pub from: Cow<'a, str>,
    /// The addressee.
    pub to: Cow<'a, str>,
    /// `key` or `content`: base64url of a version-2 user, hexadecimal of an original one.
    pub body: Cow<'a, str>,
    /// Whether it carried `"v":2`.
    pub version2: bool,
}

/// A letter that another user sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLetter<'a> {
    /// The number by which it is acknowledged.
    pub number: u64,
    /// The sender, as the relay says.
    pub from: Cow<'a, str>,
    /// The addressee.
    pub to: Cow<'a, str>,
    /// Its id, as its sender wrote it.
    pub id: Cow<'a, str>,
    /// What it says it holds.
    pub kind: LetterKind,
    /// Which letter key it says that it was sealed to.
    pub key_id: u32,
    /// `content`: base64url.
    pub body: Cow<'a, str>,
}

impl<'a> Incoming<'a> {
    /// Reads a frame: exactly the bytes of a [`Scan::Frame`](super::Scan::Frame). Members that
    /// this version does not know are passed over.
    pub fn parse(frame: &'a [u8]) -> Result<Self, BadFrame> {
        let object = Object::parse(frame)?;
        let action = object.text("action")?;
        Ok(match &*action {
            "userlist" => Self::Userlist { users: names(object.required("users")?) },
            "roster" => Self::Roster {
                joined: names(object.value("joined")?.unwrap_or_default()),
                left: names(object.value("left")?.unwrap_or_default()),
                whole: object.value("whole")?.unwrap_or(false),
            },
            "send_key" => Self::Forwarded(Forwarded::interpret(&object, ForwardKind::SendKey)?),
            "message" => Self::Forwarded(Forwarded::interpret(&object, ForwardKind::Message)?),
            "letter" => Self::Letter(KeptLetter::interpret(&object)?),
            _ => match Reply::interpret(&action, &object)? {
                Some(reply) => Self::Reply(reply),
                None => Self::Unknown { action },
            },
        })
    }
}

impl<'a> Forwarded<'a> {
    fn interpret(object: &Object<'a>, kind: ForwardKind) -> Result<Self, BadFrame> {
        Ok(Self {
            kind,
            from: object.text("from")?,
            to: object.text("to")?,
            body: object.text(kind.body_name())?,
            version2: object.version2()?,
        })
    }
}

impl<'a> KeptLetter<'a> {
    fn interpret(object: &Object<'a>) -> Result<Self, BadFrame> {
        if !object.version2()? {
            return Err(BadFrame::form("v"));
        }
        Ok(Self {
            number: object.required(letter::BOX)?,
            from: object.text("from")?,
            to: object.text("to")?,
            id: object.text("id")?,
            kind: LetterKind::interpret(object)?,
            key_id: object.required("key_id")?,
            body: object.text("content")?,
        })
    }
}

fn names(list: Vec<JsonText>) -> Vec<Cow<str>> {
    list.into_iter().map(|JsonText(name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        ErrorCode, Fingerprint, KeyCount, LetterKey, LetterKind, Prekey, Refusal, TakeMode,
        WireLimits, compose,
    };
    use super::super::{base64, encode_roster, encode_userlist};
    use super::*;
    use crate::limits::MLKEM_KEY;
    use crate::wire::{Body, Request, letter_end};

    /// `frame` without its line end, read.
    fn parse(frame: &[u8]) -> Result<Incoming<'_>, BadFrame> {
        Incoming::parse(frame.strip_suffix(b"\n").unwrap_or(frame))
    }

    #[test]
    fn what_the_relay_writes_the_client_reads() {
        let prekey = Prekey {
            id: 1,
            created: 2,
            expires: 3,
            x25519: [4; 32],
            mlkem: None,
            signature: vec![5; 384],
        };
        let letter_key = LetterKey {
            id: 1,
            created: 2,
            expires: 3,
            x25519: [4; 32],
            mlkem: Box::new([7; MLKEM_KEY]),
            signature: vec![5; 384],
        };
        let refusal = Refusal {
            id: Some("\"7\"".to_owned()),
            ..Refusal::new(ErrorCode::QueueFull, "try again\n")
        };
        let replies = [
            Reply::Challenge { relay: [1; 32], nonce: [2; 32], signature: [3; 64] },
            Reply::Registered {
                name: "alice".into(),
                fp: Fingerprint([6; 32]),
                limits: WireLimits::new(65536),
            },
            Reply::Pubkey {
                from: "JG".into(),
                pubkey: "-----\n".into(),
                prekey: None,
                away: false,
                letter_key: None,
            },
            Reply::Pubkey {
                from: "bob".into(),
                pubkey: "".into(),
                prekey: Some(Cow::Owned(prekey)),
                away: false,
                letter_key: Some(Cow::Borrowed(&letter_key)),
            },
            Reply::Pubkey {
                from: "bob".into(),
                pubkey: "".into(),
                prekey: None,
                away: true,
                letter_key: Some(Cow::Borrowed(&letter_key)),
            },
            Reply::Letterbox { waiting: vec![KeyCount { key_id: u32::MAX, count: 2 }] },
            Reply::Letterbox { waiting: vec![] },
            Reply::Stored { id: "7".into(), to: "bob".into() },
            Reply::LetterboxEmpty,
            Reply::Relayed { id: "ⵣ".into(), to: "bob".into(), prekey: Some(u32::MAX) },
            Reply::Relayed { id: "".into(), to: "JG".into(), prekey: None },
            Reply::from(&refusal),
            Reply::Pong { id: Some("1".into()) },
            Reply::Pong { id: None },
        ];
        for reply in replies {
            assert_eq!(parse(&reply.encode()), Ok(Incoming::Reply(reply)));
        }
    }

    #[test]
    fn rosters_are_read() {
        let frame = encode_userlist([r#""JG""#, r#""a\"b""#].into_iter());
        let users = vec!["JG".into(), "a\"b".into()];
        assert_eq!(parse(&frame), Ok(Incoming::Userlist { users }));
        let frame = encode_roster([r#""a""#].into_iter(), [].into_iter(), true);
        let whole = Incoming::Roster { joined: vec!["a".into()], left: vec![], whole: true };
        assert_eq!(parse(&frame), Ok(whole));
        let frame = encode_roster([].into_iter(), [r#""a""#].into_iter(), false);
        let change = Incoming::Roster { joined: vec![], left: vec!["a".into()], whole: false };
        assert_eq!(parse(&frame), Ok(change));
    }

    #[test]
    fn what_another_user_sent_is_read() {
        let frame = br#"{"action": "send_key", "to": "b", "from": "a", "key": "00ff", "x": 1}"#;
        let forwarded = Forwarded {
            kind: ForwardKind::SendKey,
            from: "a".into(),
            to: "b".into(),
            body: "00ff".into(),
            version2: false,
        };
        assert_eq!(parse(frame), Ok(Incoming::Forwarded(forwarded)));
    }

    #[test]
    fn a_letter_is_delivered_as_it_was_sent_under_its_number() {
        let sent = compose::letter("bob", "alice", "7", (LetterKind::Receipt, 9), "AQ");
        let request = Request::parse(sent.trim_ascii_end()).unwrap();
        let Body::Letter(letter) = request.body else { panic!("no letter") };
        let kept = [letter.to_keep(b"\"alice\""), letter_end(12).into_bytes()].concat();
        let expected = KeptLetter {
            number: 12,
            from: "alice".into(),
            to: "bob".into(),
            id: "7".into(),
            kind: LetterKind::Receipt,
            key_id: 9,
            body: "AQ".into(),
        };
        assert_eq!(parse(&kept), Ok(Incoming::Letter(expected)));
        let take = compose::letters(TakeMode::Receipts);
        let taken = Request::parse(take.trim_ascii_end()).unwrap().body;
        assert_eq!(taken, Body::Take(TakeMode::Receipts));
        let ack = compose::ack(u64::MAX);
        let number = Request::parse(ack.trim_ascii_end()).unwrap().body;
        assert_eq!(number, Body::Ack { number: u64::MAX });
    }

    #[test]
    fn an_unknown_action_is_named_and_a_malformed_one_is_refused() {
        let unknown = Incoming::Unknown { action: "dance".into() };
        assert_eq!(parse(br#"{"action":"dance"}"#), Ok(unknown));
        let key = base64::encode(&[1; 31]);
        let wrong = [
            r#"{"users":[]}"#,
            r#"{"action":"userlist","users":"a"}"#,
            r#"{"action":"userlist","users":["a",1]}"#,
            r#"{"action":"roster","joined":"a"}"#,
            r#"{"action":"roster","joined":[],"left":[],"whole":1}"#,
            r#"{"action":"message","to":"b","content":"x"}"#,
            r#"{"action":"message","to":"b","from":"a","content":"x","v":3}"#,
            r#"{"action":"pubkey","from":"b","pubkey":"p","v":2}"#,
            r#"{"action":"pubkey","from":"b","pubkey":"p","v":2,"prekey":{}}"#,
            r#"{"action":"registered","name":"a","fp":"SHA256:","limits":{}}"#,
            r#"{"action":"relayed","id":"1","to":"b","prekey":4294967296}"#,
            r#"{"action":"registered","name":"a","limits":{}}"#,
            r#"{"action":"error","detail":7}"#,
            r#"{"action":"pubkey","from":"b","pubkey":"p","v":2,"away":true,"letter_key":{}}"#,
            r#"{"action":"letterbox","waiting":[{"key_id":-1,"count":1}]}"#,
            r#"{"action":"stored","id":"1"}"#,
            r#"{"action":"letter","to":"b","from":"a","id":"1","kind":0,"key_id":1,"content":"x"}"#,
            &format!(r#"{{"action":"challenge","relay":"{key}","nonce":"","sig":""}}"#),
        ];
        for frame in wrong {
            assert!(parse(frame.as_bytes()).is_err(), "{frame}");
        }
    }

    #[test]
    fn what_a_relay_leaves_out_has_its_default_and_what_it_adds_is_passed_over() {
        let fp = Fingerprint([6; 32]);
        let registered = |limits: &str| {
            let frame =
                format!(r#"{{"action":"registered","name":"a","fp":"{fp}"{limits},"x":[]}}"#);
            match parse(frame.as_bytes()) {
                Ok(Incoming::Reply(Reply::Registered { limits, .. })) => limits,
                other => panic!("{frame}: {other:?}"),
            }
        };
        let usual = WireLimits::new(65536);
        assert_eq!(registered(""), usual);
        assert_eq!(registered(r#","limits":{}"#), usual);
        let five =
            r#","limits":{"frame":9000,"depth":8,"members":32,"name":32,"pubkey":2048,"z":1}"#;
        assert_eq!(registered(five), WireLimits { frame: 9000, ..usual });
        let bare =
            Reply::Error { code: "".into(), detail: "".into(), id: None, to: None, target: None };
        assert_eq!(parse(br#"{"action":"error"}"#), Ok(Incoming::Reply(bare)));
        let joined = Incoming::Roster { joined: vec!["a".into()], left: vec![], whole: false };
        assert_eq!(parse(br#"{"action":"roster","joined":["a"]}"#), Ok(joined));
    }

    #[test]
    fn a_prekey_without_its_version_is_not_taken() {
        let frame = br#"{"action":"pubkey","from":"b","pubkey":"p","prekey":{}}"#;
        let reply = Reply::Pubkey {
            from: "b".into(),
            pubkey: "p".into(),
            prekey: None,
            away: false,
            letter_key: None,
        };
        assert_eq!(parse(frame), Ok(Incoming::Reply(reply)));
    }
}
