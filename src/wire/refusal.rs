//! A request that the relay refuses, and what of it the answer names.
use std::borrow::Cow;

use super::{BadFrame, ErrorCode, StreamFault};

/// Why a request is refused, and which request it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub detail: Cow<'static, str>,
    /// The request's `id`, where it had a valid one.
    pub id: Option<String>,
    /// The request's `to`, where it had one.
    pub to: Option<String>,
    /// The request's `target`, where it had one.
    pub target: Option<String>,
}

impl Refusal {
    /// A refusal that names no request.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), id: None, to: None, target: None }
    }
}

impl From<BadFrame> for Refusal {
    fn from(bad: BadFrame) -> Self {
        Self::new(ErrorCode::BadFrame, bad.0)
    }
}

impl From<StreamFault> for Refusal {
    fn from(_fault: StreamFault) -> Self {
        todo!()
    }
}
