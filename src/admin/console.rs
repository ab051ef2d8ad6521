//! The admin socket: requests in, answers and the live log out.
//!
//! A connection is answered one request a tick, and all connections together so many in a second.
//! The log is not queued for anybody: each connection only notes how far it has read the relay's
//! history (`src/relay/history.rs`), and is sent what fits into its queue.

use super::answers;
use super::limits::{
    ADMIN_CONNECTIONS, ADMIN_OUTBOX, LINES_PER_TICK, RELEASE_WAIT, REQUEST_BYTES, REQUESTS_BURST,
    REQUESTS_PER_SECOND,
};
use super::request::Request;
use super::vitals::Vitals;
use crate::reactor::{Context, Opened, Time, Timer, Token};
use crate::relay::Relay;
use crate::relay::event::Level;
use crate::relay::history::{Next, Reader};
use crate::relay::overview::NotReleased;
use crate::tokens::{Bucket, Rate};
use serde_json::json;

const RATE: Rate = Rate::new(REQUESTS_BURST, REQUESTS_PER_SECOND);
/// Rings when requests that wait for the rate are read, or a release has taken too long. The relay
/// has the first numbers.
pub(super) const CONSOLE: Timer = Timer(7);

/// The admin socket and its connections.
pub(super) struct Console {
    listener: Token,
    clients: Vec<Client>,
    rate: Bucket,
}

struct Client {
    id: Token,
    /// How far it has read the log, if it has asked for it.
    reader: Option<Reader>,
    /// The name whose release it waits for, and until when.
    releasing: Option<(String, Time)>,
    level: Level,
    /// It is not read before the rate of all requests allows it.
    is_over_rate: bool,
}

impl Console {
    /// Serves those who connect to `listener`.
    pub(super) fn new(relay: &mut Relay, listener: Token) -> Self {
        relay.keep_history(Level::Normal);
        Self { listener, clients: Vec::new(), rate: Bucket::default() }
    }

    pub(super) fn owns(&self, id: Token) -> bool {
        id == self.listener || self.clients.iter().any(|client| client.id == id)
    }

    pub(super) fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        if !matches!(how, Opened::Accepted { .. }) {
            return;
        }
        if self.clients.len() >= ADMIN_CONNECTIONS {
            let detail = format!("{ADMIN_CONNECTIONS} connections are open already: end one");
            cx.send(id, &[&answers::refusal("busy", &detail)]);
            cx.close(id);
            return;
        }
        cx.set_read_limit(id, Some(REQUEST_BYTES));
        self.clients.push(Client {
            id,
            reader: None,
            releasing: None,
            level: Level::Silent,
            is_over_rate: false,
        });
    }

    pub(super) fn received(
        &mut self,
        cx: &mut Context,
        relay: &mut Relay,
        vitals: &Vitals,
        from: Token,
        bytes: &[u8],
    ) -> usize {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            if bytes.len() >= usize::from(REQUEST_BYTES.get()) {
                let detail =
                    format!("a request has at most {REQUEST_BYTES} bytes, with its line end");
                cx.send(from, &[&answers::refusal("bad_request", &detail)]);
                cx.close(from);
            }
            return 0;
        };
        let now = cx.now();
        if !self.rate.take(RATE, now) {
            cx.pause(from);
            if let Some(client) = self.client(from) {
                client.is_over_rate = true;
            }
            self.set_timer(cx);
            return 0;
        }
        let answer = match Request::parse(&bytes[..end]) {
            Ok(request) => self.carry_out(cx, relay, vitals, from, request),
            Err(detail) => Some(answers::refusal("bad_request", &detail)),
        };
        if let Some(answer) = answer {
            cx.send(from, &[&answer]);
        }
        cx.pause(from); // `end_of_tick` lets it go on
        end + 1
    }

    /// Does what is asked. Returns the answer, unless it comes later.
    fn carry_out(
        &mut self,
        cx: &mut Context,
        relay: &mut Relay,
        vitals: &Vitals,
        from: Token,
        request: Request,
    ) -> Option<Vec<u8>> {
        Some(match request {
            Request::Status {} => answers::status(cx, relay, vitals),
            Request::Counters {} => answers::counters(relay),
            Request::Users { from, count } => answers::users(cx, relay, vitals, from, count),
            Request::Log { level, last } => {
                self.client(from)?.level = level;
                self.keep_history(relay);
                self.client(from)?.reader =
                    relay.history().map(|history| history.reader(level, last));
                answers::line(&json!({"answer": "log", "level": level}))
            }
            Request::Drain {} => {
                relay.drain(cx);
                answers::line(&json!({"answer": "drain"}))
            }
            Request::Reload {} => {
                relay.reload(cx);
                answers::line(&json!({"answer": "reload"}))
            }
            Request::Kick { name } if relay.kick(cx, &name) => {
                answers::line(&json!({"answer": "kick", "name": name}))
            }
            Request::Kick { .. } => answers::refusal("unknown_user", "no such user is connected"),
            Request::Release { name } => match relay.ask_release(&name) {
                Ok(()) => {
                    let until = cx.now() + RELEASE_WAIT;
                    self.client(from)?.releasing = Some((name, until));
                    return None; // the store takes its time
                }
                Err(NotReleased::NotBound) => {
                    answers::refusal("unknown_name", "the name is bound to no key")
                }
                Err(NotReleased::StoreBusy) => {
                    answers::refusal("store_failed", "too much waits for the disk: try again")
                }
            },
        })
    }

    /// The other end sends no more. Who follows the log goes on reading it.
    pub(super) fn ended(&mut self, cx: &mut Context, from: Token) {
        let follows = |client: &Client| {
            client.id == from && (client.reader.is_some() || client.releasing.is_some())
        };
        if !self.clients.iter().any(follows) {
            cx.close(from);
        }
    }

    pub(super) fn timer(&mut self, cx: &mut Context) {
        for client in &mut self.clients {
            client.is_over_rate = false;
        }
        cx.tick_again(); // for releases that have taken too long
    }

    /// Sets the timer to what comes first: there is a request left in the rate, or a release has
    /// taken too long.
    fn set_timer(&self, cx: &mut Context) {
        let releases = self.clients.iter().filter_map(|it| Some(it.releasing.as_ref()?.1));
        let is_over_rate = self.clients.iter().any(|client| client.is_over_rate);
        let next = is_over_rate.then(|| self.rate.next(RATE, cx.now()));
        cx.set_timer(CONSOLE, releases.chain(next).min());
    }

    fn client(&mut self, id: Token) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    pub(super) fn closed(&mut self, relay: &mut Relay, id: Token) {
        self.clients.retain(|client| client.id != id);
        self.keep_history(relay);
    }

    /// Has the relay keep what somebody reads.
    fn keep_history(&self, relay: &mut Relay) {
        let wanted = self.clients.iter().map(|client| client.level).max();
        relay.keep_history(wanted.unwrap_or_default().max(Level::Normal));
    }

    pub(super) fn end_of_tick(&mut self, cx: &mut Context, relay: &Relay) {
        for client in &mut self.clients {
            client.tell_released(cx, relay);
            client.tell_log(cx, relay);
            client.go_on(cx);
        }
        self.set_timer(cx);
    }
}

impl Client {
    /// Answers whether the name that it waits for was released.
    fn tell_released(&mut self, cx: &mut Context, relay: &Relay) {
        let Some((name, until)) = &self.releasing else { return };
        let answer = if !relay.is_bound(name) {
            answers::line(&json!({"answer": "release", "name": name}))
        } else if *until <= cx.now() {
            let detail = "the name is bound as before: the disk did not take the change in time";
            answers::refusal("store_failed", detail)
        } else {
            return;
        };
        self.releasing = None;
        cx.send(self.id, &[&answer]);
    }

    /// Reads the next request, unless something has to come first.
    fn go_on(&self, cx: &mut Context) {
        let waits = self.is_over_rate || self.releasing.is_some();
        if !waits && cx.queued(self.id) <= ADMIN_OUTBOX {
            cx.resume(self.id);
        }
    }

    /// Queues the next lines of the log, as far as there is room.
    fn tell_log(&mut self, cx: &mut Context, relay: &Relay) {
        let Some((reader, history)) = self.reader.as_mut().zip(relay.history()) else { return };
        for _ in 0..LINES_PER_TICK {
            if cx.queued(self.id) > ADMIN_OUTBOX {
                return; // `drained` makes another tick
            }
            match history.next(reader) {
                None => return,
                Some(Next::Line(line)) => cx.share(self.id, &line),
                Some(Next::Lost(lines)) => cx.send(self.id, &[&answers::lost(lines)]),
            }
        }
        cx.tick_again();
    }
}
