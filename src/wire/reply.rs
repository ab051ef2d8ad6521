//! What the relay itself says (S→C), as it writes it and as the client reads it
//! (`docs/protocol.md`, section 2). Rosters, which go to many, are in `roster.rs`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::encode::Encoder;
use super::{BadFrame, Fingerprint, LetterKey, Object, Prekey, Refusal, base64};
use crate::limits::{MAX_DEPTH, MAX_FRAME, MAX_ID, MAX_MEMBERS, MAX_NAME, MAX_PUBKEY_PEM};

/// One answer of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `challenge`: prove that you hold the key.
    Challenge {
        /// The relay's Ed25519 public key.
        relay: [u8; 32],
        /// The relay's random part of the proof.
        nonce: [u8; 32],
        /// Ed25519 by the relay.
        signature: [u8; 64],
    },
    /// `registered`: the proof held.
    Registered {
        /// The name that is now bound.
        name: Cow<'a, str>,
        /// The key that it is bound to.
        fp: Fingerprint,
        /// What this relay accepts.
        limits: WireLimits,
    },
    /// `pubkey`: a user's public key.
    Pubkey {
        /// Whose.
        from: Cow<'a, str>,
        /// PEM, as it was registered.
        pubkey: Cow<'a, str>,
        /// Of a version-2 user who is there, and of no other.
        prekey: Option<Cow<'a, Prekey>>,
        /// A version-2 user who is not there.
        away: bool,
        /// What letters are sealed to, if it was asked for and there is one.
        letter_key: Option<Cow<'a, LetterKey>>,
    },
    /// `letterbox`: the key is kept, and so many letters wait.
    Letterbox {
        /// For each key under which letters wait.
        waiting: Vec<KeyCount>,
    },
    /// `stored`: the letter is on the relay's disk.
    Stored {
        /// Of the letter.
        id: Cow<'a, str>,
        /// The addressee.
        to: Cow<'a, str>,
    },
    /// `letterbox_empty`: all that waited was delivered.
    LetterboxEmpty,
    /// `relayed`: the frame stands whole in the addressee's queue.
    Relayed {
        /// Of the request.
        id: Cow<'a, str>,
        /// The addressee.
        to: Cow<'a, str>,
        /// The id of the addressee's current prekey, of a version-2 user and of no other.
        prekey: Option<u32>,
    },
    /// `error`: refused.
    Error {
        /// For programs: an [`ErrorCode`](super::ErrorCode), or one that only the other side
        /// knows.
        code: Cow<'a, str>,
        /// For people.
        detail: Cow<'a, str>,
        /// Of the request.
        id: Option<Cow<'a, str>>,
        /// Of the request.
        to: Option<Cow<'a, str>>,
        /// Of the request.
        target: Option<Cow<'a, str>>,
    },
    /// `pong`: I am here.
    Pong {
        /// Of the `ping`.
        id: Option<Cow<'a, str>>,
    },
}

/// How many letters wait that were sealed to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCount {
    /// The id of the letter key.
    pub key_id: u32,
    /// How many letters.
    pub count: u32,
}

/// The limits of section 1, as the relay tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // a relay may tell fewer of them, or more
pub struct WireLimits {
    /// Bytes of a frame.
    pub frame: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Members of an object.
    pub members: usize,
    /// Bytes of a version-2 name.
    pub name: usize,
    /// Bytes of a public key's text.
    pub pubkey: usize,
    /// Bytes of an `id`.
    pub id: usize,
}

impl WireLimits {
    /// The limits of a relay that takes frames of `max_frame` bytes.
    pub const fn new(max_frame: usize) -> Self {
        Self {
            frame: max_frame,
            depth: MAX_DEPTH,
            members: MAX_MEMBERS,
            name: MAX_NAME,
            pubkey: MAX_PUBKEY_PEM,
            id: MAX_ID,
        }
    }
}

/// Those of section 1, for what a relay does not tell.
impl Default for WireLimits {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl<'a> Reply<'a> {
    /// The frame, ending in a line end.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Challenge { relay, nonce, signature } => Encoder::action("challenge")
                .value("relay", &base64::encode(relay))
                .value("nonce", &base64::encode(nonce))
                .value("sig", &base64::encode(signature))
                .end(),
            Self::Registered { name, fp, limits } => Encoder::action("registered")
                .value("name", name)
                .value("fp", &fp.to_string())
                .json("limits", &serde_json::json!(limits).to_string())
                .end(),
            Self::Pubkey { from, pubkey, prekey, away, letter_key } => {
                let mut frame = Encoder::action("pubkey").value("from", from);
                frame = frame.value("pubkey", pubkey);
                if prekey.is_some() || *away {
                    frame = frame.value("v", &2);
                }
                if let Some(prekey) = prekey {
                    frame = frame.json("prekey", &prekey.to_json());
                }
                if *away {
                    frame = frame.value("away", &true);
                }
                if let Some(key) = letter_key {
                    frame = frame.json("letter_key", &key.to_json());
                }
                frame.end()
            }
            Self::Letterbox { waiting } => {
                let waiting = serde_json::json!(waiting).to_string();
                Encoder::action("letterbox").json("waiting", &waiting).end()
            }
            Self::Stored { id, to } => {
                Encoder::action("stored").value("id", id).value("to", to).end()
            }
            Self::LetterboxEmpty => Encoder::action("letterbox_empty").end(),
            Self::Relayed { id, to, prekey } => {
                let frame = Encoder::action("relayed").value("id", id).value("to", to);
                match prekey {
                    Some(prekey) => frame.value("prekey", prekey).end(),
                    None => frame.end(),
                }
            }
            Self::Error { code, detail, id, to, target } => Encoder::action("error")
                .value("code", code)
                .value("detail", detail)
                .optional("id", id.as_deref())
                .optional("to", to.as_deref())
                .optional("target", target.as_deref())
                .end(),
            Self::Pong { id } => Encoder::action("pong").optional("id", id.as_deref()).end(),
        }
    }

    /// Reads the answer `action`; `None` where it is none of these.
    pub(super) fn interpret(action: &str, object: &Object<'a>) -> Result<Option<Self>, BadFrame> {
        Ok(Some(match action {
            "challenge" => Self::Challenge {
                relay: object.array("relay")?,
                nonce: object.array("nonce")?,
                signature: object.array("sig")?,
            },
            "registered" => Self::Registered {
                name: object.text("name")?,
                fp: object.text("fp")?.parse().map_err(|_| BadFrame::form("fp"))?,
                limits: object.value("limits")?.unwrap_or_default(),
            },
            "pubkey" => {
                let is_version2 = object.version2()?;
                let away = is_version2 && object.value("away")?.unwrap_or(false);
                let letter_key = object.raw("letter_key").filter(|_| is_version2);
                Self::Pubkey {
                    from: object.text("from")?,
                    pubkey: object.text("pubkey")?,
                    prekey: published_prekey(object, is_version2 && !away)?.map(Cow::Owned),
                    away,
                    letter_key: letter_key.map(LetterKey::parse).transpose()?.map(Cow::Owned),
                }
            }
            "letterbox" => {
                Self::Letterbox { waiting: object.value("waiting")?.unwrap_or_default() }
            }
            "stored" => Self::Stored { id: object.text("id")?, to: object.text("to")? },
            "letterbox_empty" => Self::LetterboxEmpty,
            "relayed" => Self::Relayed {
                id: object.text("id")?,
                to: object.text("to")?,
                prekey: object.value("prekey")?,
            },
            "error" => Self::Error {
                code: object.string("code")?.unwrap_or_default(),
                detail: object.string("detail")?.unwrap_or_default(),
                id: object.string("id")?,
                to: object.string("to")?,
                target: object.string("target")?,
            },
            "pong" => Self::Pong { id: object.string("id")? },
            _ => return Ok(None),
        }))
    }
}

impl<'a> From<&'a Refusal> for Reply<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self::Error {
            code: refusal.code.as_str().into(),
            detail: (&*refusal.detail).into(),
            id: refusal.id.as_deref().map(Cow::Borrowed),
            to: refusal.to.as_deref().map(Cow::Borrowed),
            target: refusal.target.as_deref().map(Cow::Borrowed),
        }
    }
}

/// The prekey of a `pubkey` frame, if its user has to have one: an original user has none, and who
/// is away neither.
fn published_prekey(object: &Object, has_one: bool) -> Result<Option<Prekey>, BadFrame> {
    if !has_one {
        return Ok(None);
    }
    let json = object.raw("prekey").ok_or_else(|| BadFrame::missing("prekey"))?;
    Prekey::parse(json).map(Some)
}
