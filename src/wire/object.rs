//! One frame as a JSON object: the general path, through `serde_json`.
use std::borrow::Cow;
use std::marker::PhantomData;

/// Why a frame is refused whole; a person can read it, and nothing of the frame is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame(pub Cow<'static, str>);

/// A JSON object that keeps every rule of `docs/protocol.md`, section 1.
#[derive(Clone, Debug)]
pub struct Object<'a>(PhantomData<&'a ()>);

impl<'a> Object<'a> {
    /// Reads a frame: exactly the bytes of a [`Scan::Frame`](super::Scan::Frame).
    pub fn parse(_frame: &'a [u8]) -> Result<Self, BadFrame> {
        todo!()
    }
    /// The member `name`, unescaped; `None` where there is none, an error where it is no string.
    pub fn string(&self, _name: &'static str) -> Result<Option<Cow<'a, str>>, BadFrame> {
        todo!()
    }
}
