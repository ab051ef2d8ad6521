//! Metrics and health over HTTP: enough of HTTP/1.1 (RFC 9112) to answer `GET` once a connection.

use std::rc::Rc;

use super::limits::{METRICS_CONNECTIONS, PAGE_AGE, REQUEST_BYTES};
use super::page::page;
use super::vitals::{Vitals, health};
use crate::reactor::{Context, Opened, Time, Token};
use crate::relay::Relay;
use crate::relay::event::Event;

/// What Prometheus calls its text format.
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// The listener for metrics and its connections.
pub(super) struct Metrics {
    listener: Token,
    /// Its port was to be any free one.
    is_chosen: bool,
    /// It is a unix socket.
    is_private: bool,
    clients: Vec<Token>,
    /// The last page, and when it was made.
    page: Option<(Time, Rc<[u8]>)>,
}

/// How a request is answered.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: Rc<[u8]>,
}

impl Metrics {
    /// Serves those who connect to `listener`, at an address.
    pub(super) const fn at_address(listener: Token, is_chosen: bool) -> Self {
        Self { listener, is_chosen, is_private: false, clients: Vec::new(), page: None }
    }

    /// Serves those who connect to `listener`, a unix socket.
    pub(super) const fn private(listener: Token) -> Self {
        Self { listener, is_chosen: false, is_private: true, clients: Vec::new(), page: None }
    }

    pub(super) const fn is_private(&self) -> bool {
        self.is_private
    }

    pub(super) fn owns(&self, id: Token) -> bool {
        id == self.listener || self.clients.contains(&id)
    }

    pub(super) fn is_listener(&self, id: Token) -> bool {
        id == self.listener
    }

    pub(super) fn opened(&mut self, cx: &mut Context, relay: &mut Relay, id: Token, how: Opened) {
        match how {
            Opened::Listening(address) => {
                relay.tell(&Event::Metrics { address, is_chosen: self.is_chosen });
            }
            Opened::Accepted { .. } if self.clients.len() >= METRICS_CONNECTIONS => cx.abort(id),
            Opened::Accepted { .. } => {
                cx.set_read_limit(id, Some(REQUEST_BYTES));
                cx.expect_handshake(id, true); // until it has asked
                self.clients.push(id);
            }
            Opened::Connected | Opened::ProcessFd => {}
        }
    }

    pub(super) fn received(
        &mut self,
        cx: &mut Context,
        relay: &mut Relay,
        vitals: &Vitals,
        from: Token,
        bytes: &[u8],
    ) -> usize {
        let is_too_long = bytes.len() >= usize::from(REQUEST_BYTES.get());
        let answer = match head(bytes) {
            Some(head) => self.answer(cx, relay, vitals, head),
            None if is_too_long => Answer::text("431 Request Header Fields Too Large", "too long"),
            None => return 0,
        };
        let length = answer.body.len();
        let Answer { status, kind, body } = answer;
        let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
             Connection: close\r\n\r\n"
        );
        cx.send(from, &[head.as_bytes()]);
        cx.share(from, &body);
        cx.close(from);
        bytes.len()
    }

    /// The answer to a request with this head.
    fn answer(&mut self, cx: &Context, relay: &mut Relay, vitals: &Vitals, head: &[u8]) -> Answer {
        let Some((method, target)) = request_line(head) else {
            return Answer::text("400 Bad Request", "this is no request of HTTP/1.1");
        };
        if method != "GET" {
            return Answer::text("405 Method Not Allowed", "only GET is answered");
        }
        let path = target.split('?').next().unwrap_or_default();
        let health = health(relay, cx.now());
        match path {
            "/metrics" => {
                Answer { status: "200 OK", kind: PAGE_TYPE, body: self.page(cx, relay, vitals) }
            }
            "/healthz" | "/readyz" if health.is_err() => {
                Answer::text("503 Service Unavailable", &health.err().unwrap_or_default())
            }
            "/readyz" if relay.is_ending() => {
                Answer::text("503 Service Unavailable", "the relay is leaving")
            }
            "/readyz" if !relay.is_ready() => {
                Answer::text("503 Service Unavailable", "the relay does not listen yet")
            }
            "/healthz" | "/readyz" => Answer::text("200 OK", "ok"),
            _ => Answer::text("404 Not Found", "there are /metrics, /healthz and /readyz"),
        }
    }

    /// The page, made anew where the last one is too old.
    fn page(&mut self, cx: &Context, relay: &mut Relay, vitals: &Vitals) -> Rc<[u8]> {
        let now = cx.now();
        match &self.page {
            Some((made, page)) if now.since(*made) < PAGE_AGE => Rc::clone(page),
            _ => {
                let made: Rc<[u8]> = page(cx, relay, vitals).into_bytes().into();
                self.page = Some((now, Rc::clone(&made)));
                made
            }
        }
    }

    pub(super) fn closed(&mut self, id: Token) {
        self.clients.retain(|&client| client != id);
    }
}

impl Answer {
    fn text(status: &'static str, text: &str) -> Self {
        Self { status, kind: TEXT_TYPE, body: format!("{text}\n").into_bytes().into() }
    }
}

/// The head of a request, once all of it has come: up to an empty line.
fn head(bytes: &[u8]) -> Option<&[u8]> {
    let ends = memchr::memchr_iter(b'\n', bytes);
    let is_last =
        |&end: &usize| matches!(bytes.get(end + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..]));
    Some(&bytes[..ends.into_iter().find(is_last)?])
}

/// The method and the target of a request, if it is one of HTTP/1.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|&byte| byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_one = version.starts_with("HTTP/1.") && words.next().is_none();
    (is_one && target.starts_with('/')).then_some((method, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_at_its_empty_line_and_read_by_its_first() {
        let request = b"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..request.len() {
            assert_eq!(head(&request[..cut]), None, "{cut}");
        }
        let line = |request: &'static [u8]| request_line(head(request)?);
        assert_eq!(line(request), Some(("GET", "/metrics?a=b")));
        assert_eq!(line(b"PUT /\xc3\xa9 HTTP/1.0\n\n"), Some(("PUT", "/\u{e9}")));
        for bad in [
            &b"GET /\r\n\r\n"[..],
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET x HTTP/1.1\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"\r\n\r\n",
        ] {
            assert_eq!(request_line(head(bad).unwrap_or(bad)), None, "{}", bad.escape_ascii());
        }
    }
}
