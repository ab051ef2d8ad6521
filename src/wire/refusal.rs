//! A request that the relay refuses, and what the answer repeats of it.

use std::borrow::Cow;

use super::{BadFrame, ErrorCode, StreamFault};
use crate::limits::{MAX_ID, MAX_NAME_ORIGINAL};

/// Why a request is refused, and which request it was. [`Reply::from`](super::Reply) makes it an
/// answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub detail: Cow<'static, str>,
    /// The request's `id`, where it had a valid one.
    pub id: Option<String>,
    /// The request's `to`, where it had one that could be a name.
    pub to: Option<String>,
    /// The request's `target`, where it had one that could be a name.
    pub target: Option<String>,
}

impl Refusal {
    /// A refusal that names no request.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), id: None, to: None, target: None }
    }

    /// The refusal of the request that had these members. A value that is too long is not repeated,
    /// so that the answer keeps to the limits too.
    pub fn about(self, id: Option<&str>, to: Option<&str>, target: Option<&str>) -> Self {
        let echo = |text: Option<&str>, most| {
            text.filter(|text| text.len() <= most).map(ToOwned::to_owned)
        };
        Self {
            id: echo(id, MAX_ID),
            to: echo(to, MAX_NAME_ORIGINAL),
            target: echo(target, MAX_NAME_ORIGINAL),
            ..self
        }
    }
}

impl From<BadFrame> for Refusal {
    fn from(bad: BadFrame) -> Self {
        Self::new(ErrorCode::BadFrame, bad.0)
    }
}

impl From<StreamFault> for Refusal {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::OutsideObject => Self::new(ErrorCode::BadFrame, "not a JSON object"),
            StreamFault::TooLarge => Self::new(ErrorCode::FrameTooLarge, "the frame is too long"),
        }
    }
}
