//! A chat server for telnet or netcat, on the reactor: each line goes to all users.
//!
//!     cargo run --example chat         # then, in two other terminals: nc 127.0.0.1 7008
//!
//! The first line that you send is your name. Each later line goes to all users, and `@NAME TEXT`
//! to one. The example shows what a server on this loop has to decide, each in a few lines: where a
//! line ends, how many bytes may wait for a user who does not read, how long a user may take to
//! send a name, and how users are told that the server ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Linux, Opened, ProcessFd, Reactor, Signal, Timeout,
    Timer, Token, block_signals,
};

/// The longest line, in bytes.
const MAX_LINE: usize = 1024;
/// The longest name, in bytes.
const MAX_NAME: usize = 16;
/// Bytes that may wait for one user; lines beyond it are not sent to them.
const MAX_QUEUED: usize = 64 * 1024;
/// How long the server waits for users to read their last line when it ends.
const DRAIN: Duration = Duration::from_millis(500);
const DRAINED: Timer = Timer(0);

fn main() -> nix::Result<()> {
    block_signals()?;
    let mut reactor = Reactor::new(Linux::new()?, &config());
    let mut chat = Chat::default();
    chat.start(reactor.context(), ([127, 0, 0, 1], 7008).into());
    reactor.run(&mut chat)
}

/// The deadlines of the loop.
pub(crate) fn config() -> Config {
    Config { handshake_timeout: Duration::from_secs(30), ..Config::default() }
}

/// The connections, and the names of users.
#[derive(Default)]
pub(crate) struct Chat {
    listener: Option<Token>,
    /// The address of the listener; `None` before it is open.
    pub(crate) address: Option<SocketAddr>,
    /// Names of the connections that have sent one.
    names: HashMap<Token, String>,
    /// All connections.
    here: Vec<Token>,
    is_draining: bool,
}

impl Chat {
    /// Asks for a listener, and for signals.
    pub(crate) fn start(&mut self, cx: &mut Context, at: SocketAddr) {
        self.listener = Some(cx.listen(at));
        cx.open(ProcessFd::Signals);
    }

    /// Handles one line of `from`, without its newline.
    fn line(&mut self, cx: &mut Context, from: Token, line: &str) {
        let Some(name) = self.names.get(&from).cloned() else {
            return self.enter(cx, from, line);
        };
        if let Some((to, text)) = line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            let to = self.names.iter().find(|(_, name)| *name == to).map(|(&id, _)| id);
            return match to {
                Some(to) => send(cx, to, &format!("{name}: {text}\n")),
                None => send(cx, from, "* there is nobody of that name\n"),
            };
        }
        self.tell_all(cx, &format!("{name}: {line}\n"), Some(from));
    }

    /// Handles the first line of `from`, which is the user's name.
    fn enter(&mut self, cx: &mut Context, from: Token, name: &str) {
        let is_fit = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_fit || self.names.values().any(|taken| taken == name) {
            return send(cx, from, "* another name, please: letters and digits, 16 at most\n");
        }
        cx.expect_handshake(from, false);
        send(cx, from, &format!("* welcome, {name}\n"));
        self.tell_all(cx, &format!("* {name} is here\n"), Some(from));
        self.names.insert(from, name.to_owned());
    }

    /// Sends the same bytes to all users, except `but`. The memory for them is shared.
    fn tell_all(&self, cx: &mut Context, text: &str, but: Option<Token>) {
        let bytes: Rc<[u8]> = Rc::from(text.as_bytes());
        for &id in self.names.keys().filter(|id| Some(**id) != but) {
            if cx.queued(id) <= MAX_QUEUED {
                cx.share(id, &bytes);
            }
        }
    }

    /// Tells all users that the server ends, and gives them [`DRAIN`] to read it.
    fn drain(&mut self, cx: &mut Context) {
        self.is_draining = true;
        self.tell_all(cx, "* the server ends\n", None);
        for &id in self.here.iter().chain(&self.listener) {
            cx.close(id);
        }
        cx.set_timer(DRAINED, Some(cx.now() + DRAIN));
    }
}

/// Sends to one user, unless too many bytes wait for that user.
fn send(cx: &mut Context, to: Token, text: &str) {
    if cx.queued(to) <= MAX_QUEUED {
        cx.send(to, &[text.as_bytes()]);
    }
}

impl Handler for Chat {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        match how {
            Opened::Listening(address) => {
                self.address = Some(address);
                eprintln!("listening on {address}");
            }
            Opened::Accepted { .. } => {
                self.here.push(id);
                cx.expect_handshake(id, true);
                send(cx, id, "* your name?\n");
            }
            Opened::Connected | Opened::ProcessFd => {}
        }
    }

    /// A read is not a line: it may bring several lines, and the last may be incomplete.
    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let mut used = 0;
        // Searches no further than a line may be long; a longer one is refused below.
        let end = |rest: &[u8]| rest.iter().take(MAX_LINE + 1).position(|&byte| byte == b'\n');
        while let Some(length) = end(&bytes[used..]) {
            let line = String::from_utf8_lossy(&bytes[used..used + length]);
            self.line(cx, from, line.trim_end_matches('\r'));
            used += length + 1;
        }
        if bytes.len() - used > MAX_LINE {
            send(cx, from, "* a line has 1,024 bytes at most\n");
            cx.close(from);
            return bytes.len();
        }
        used
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        match timeout {
            Timeout::Handshake | Timeout::Frame => {
                send(cx, id, "* that took too long\n");
                cx.close(id);
            }
            Timeout::Write => cx.abort(id), // it reads nothing: it would not read a reason either
        }
    }

    fn timer(&mut self, cx: &mut Context, _: Timer) {
        cx.stop();
    }

    fn exhausted(&mut self, _: &mut Context, _: Token, errno: Errno) {
        eprintln!("cannot accept connections: {errno}");
    }

    fn signal(&mut self, cx: &mut Context, _: Signal) {
        self.drain(cx);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.here.retain(|&other| other != id);
        if let Some(name) = self.names.remove(&id) {
            self.tell_all(cx, &format!("* {name} has left\n"), None);
        }
        if Some(id) == self.listener && !self.is_draining {
            eprintln!("cannot listen: {reason:?}");
            cx.stop();
        }
        if self.is_draining && self.here.is_empty() {
            cx.stop();
        }
    }
}
