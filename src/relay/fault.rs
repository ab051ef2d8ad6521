//! Why the relay refuses a request: the reason, without the `id` and the names of the request,
//! which its caller adds.

use std::borrow::Cow;
use std::fmt::Display;

use crate::wire::ErrorCode;

/// One reason, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: ErrorCode,
    pub(super) detail: Cow<'static, str>,
    /// Whether the connection ends with it.
    pub(super) is_last: bool,
}

impl Fault {
    pub(super) fn new(code: ErrorCode, detail: &'static str) -> Self {
        Self { code, detail: detail.into(), is_last: false }
    }

    /// As `cause` says it.
    pub(super) fn because(code: ErrorCode, cause: impl Display) -> Self {
        Self { code, detail: cause.to_string().into(), is_last: false }
    }

    /// The same, and the end of the connection.
    pub(super) fn last(self) -> Self {
        Self { is_last: true, ..self }
    }
}
