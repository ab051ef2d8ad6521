//! The connection to a relay's admin socket: requests out, answers in.

use std::path::PathBuf;

use nix::errno::Errno;
use serde_json::Value;

use crate::admin::Request;
use crate::limits::{ADMIN_ANSWER, ADMIN_WAIT};
use crate::reactor::{CloseReason, Context, ProcessFd, Time, Token, UnixSocket};

/// The connection, or none.
pub(super) struct Link {
    path: PathBuf,
    connection: Option<Token>,
    /// The relay has answered on this connection.
    has_answered: bool,
    /// Since when an answer is waited for.
    asked: Option<Time>,
    /// Why there is no connection.
    fault: Option<String>,
}

impl Link {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, connection: None, has_answered: false, asked: None, fault: None }
    }

    /// Begins a connection. Whether it works is told by the first answer.
    pub(super) fn connect(&mut self, cx: &mut Context) {
        self.has_answered = false;
        self.asked = None;
        match UnixSocket::connect(&self.path) {
            Ok(socket) => {
                self.fault = None;
                self.connection = Some(cx.open(ProcessFd::Stream(socket)));
            }
            Err(errno) => self.fault = Some(self.explain(errno)),
        }
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn owns(&self, id: Token) -> bool {
        self.connection == Some(id)
    }

    /// Why there is no connection; none where there is one.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn ask(&mut self, cx: &mut Context, request: &Request) {
        if let Some(id) = self.connection {
            cx.send(id, &[request.line().as_bytes()]);
            self.asked.get_or_insert(cx.now());
        }
    }

    /// Gives the connection up where the relay owes an answer for too long.
    pub(super) fn check(&mut self, cx: &mut Context) {
        let Some((id, asked)) = self.connection.zip(self.asked) else { return };
        if cx.now().since(asked) >= ADMIN_WAIT {
            self.fault = Some(format!("the relay has not answered for {} s", ADMIN_WAIT.as_secs()));
            self.connection = None;
            cx.abort(id);
        }
    }

    /// Hands each whole answer in `bytes` to `take`. Returns how many bytes are done with.
    pub(super) fn received(
        &mut self,
        cx: &mut Context,
        from: Token,
        bytes: &[u8],
        mut take: impl FnMut(&mut Context, Value),
    ) -> usize {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[used..]) {
            match serde_json::from_slice::<Value>(&bytes[used..used + end]) {
                Ok(answer) => {
                    self.has_answered = true;
                    if answer["line"].is_null() && answer["lost"].is_null() {
                        self.asked = None;
                    }
                    take(cx, answer);
                }
                Err(_) => return self.leave(cx, from, bytes.len()),
            }
            used += end + 1;
        }
        if bytes.len() - used > ADMIN_ANSWER {
            return self.leave(cx, from, bytes.len());
        }
        used
    }

    /// What answers there is no relay.
    fn leave(&mut self, cx: &mut Context, from: Token, bytes: usize) -> usize {
        self.fault = Some(format!("'{}' is no admin socket of a relay", self.path.display()));
        self.connection = None;
        cx.abort(from);
        bytes
    }

    /// The connection is gone.
    pub(super) fn closed(&mut self, reason: CloseReason) {
        self.connection = None;
        self.fault = Some(match reason {
            CloseReason::Failed(errno) if self.has_answered => self.explain(errno),
            _ if self.has_answered => "the relay has closed the connection".to_owned(),
            _ => "the relay has closed the connection: only its user and root may connect".into(),
        });
    }

    fn explain(&self, errno: Errno) -> String {
        let path = self.path.display();
        match errno {
            Errno::ENOENT | Errno::ECONNREFUSED => format!(
                "no relay listens at '{path}': start one, or name its socket with --admin or its \
                 home with --home"
            ),
            Errno::EACCES => format!("'{path}' may be used by the relay's user and root only"),
            errno => format!("cannot connect to '{path}': {}", errno.desc()),
        }
    }
}
