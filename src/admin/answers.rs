//! The answers of the admin socket: one JSON object a line, in printable ASCII.

use serde::Serialize;
use serde_json::{Serializer, Value, json};

use super::limits::{SLOTS_PER_PAGE, USERS_PER_PAGE};
use super::vitals::{ProcessState, Vitals, address_of, health};
use crate::reactor::Context;
use crate::relay::Relay;
use crate::wire::Ascii;

/// A value as a line.
pub(super) fn line(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut out, Ascii));
    out.push(b'\n');
    out
}

/// A request that was not carried out.
pub(super) fn refusal(code: &str, detail: &str) -> Vec<u8> {
    line(&json!({"error": code, "detail": detail}))
}

/// Events that cannot be shown any more.
pub(super) fn lost(lines: u64) -> Vec<u8> {
    line(&json!({"answer": "log", "lost": lines}))
}

/// `status`
pub(super) fn status(cx: &Context, relay: &mut Relay, vitals: &Vitals) -> Vec<u8> {
    let (now, meter) = (cx.now(), &vitals.meter);
    let (gauges, traffic, process) = (relay.gauges(), relay.traffic(), ProcessState::now());
    let wall = relay.wall();
    line(&json!({
        "answer": "status",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "now": wall,
        "uptime_ms": milliseconds(now.since(vitals.started)),
        "listening": relay.listening(),
        "ready": relay.is_ready(),
        "draining": relay.is_ending(),
        "fault": health(relay, now).err(),
        "connections": gauges.connections,
        "max_connections": gauges.max_connections,
        "users": gauges.users,
        "tls": gauges.tls,
        "names": gauges.names,
        "names_asked": gauges.names_asked,
        "letters": gauges.letters,
        "takers": gauges.takers,
        "letters_asked": gauges.letters_asked,
        "letter_bytes": gauges.letter_bytes,
        "cluster": relay.cluster_state().map(|it| json!({
            "joined": it.is_joined,
            "connected": it.is_connected,
            "users": it.users,
            "lists_all": it.lists_all,
            "frames": it.frames,
            "letters_left": it.letters_left,
        })),
        "messages": traffic.messages,
        "received_bytes": traffic.received,
        "sent_bytes": traffic.sent,
        "queued_bytes": cx.queued_in_all(),
        "kept_bytes": cx.kept_in_all(),
        "ticks": meter.times.count(),
        "events": meter.events.sum(),
        "busy_ns": meter.times.sum(),
        "longest_tick_ns": meter.longest_lately(now).as_nanos(),
        "cpu_ms": process.cpu.map(milliseconds),
        "memory_bytes": process.memory,
        "descriptors": process.descriptors,
        "max_descriptors": process.max_descriptors,
    }))
}

/// `counters`
pub(super) fn counters(relay: &mut Relay) -> Vec<u8> {
    line(&json!({"answer": "counters", "counters": relay.counters()}))
}

/// `users`: at most `count` from `from` on.
pub(super) fn users(
    cx: &Context,
    relay: &mut Relay,
    vitals: &Vitals,
    from: usize,
    count: usize,
) -> Vec<u8> {
    let (rows, next) = relay.users(from, count.clamp(1, USERS_PER_PAGE), SLOTS_PER_PAGE);
    let rows = rows.iter().map(|row| {
        json!({
            "name": row.name,
            "version": row.version,
            "fp": row.fp.map(ToString::to_string),
            "address": address_of(cx.io(row.token)),
            "since": vitals.wall_at(row.since),
            "in": row.received,
            "out": row.sent,
            "queued": cx.queued(row.token),
            "held": row.held,
        })
    });
    line(&json!({"answer": "users", "users": rows.collect::<Vec<_>>(), "next": next}))
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
