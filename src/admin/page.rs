//! The page of metrics, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), with names by its conventions.

use std::fmt::Write;

use super::vitals::{ProcessState, Vitals};
use crate::reactor::{Buckets, Context};
use crate::relay::Relay;

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// A page that is being written. Writing to a text does not fail.
struct Page(String);

/// All metrics.
pub(super) fn page(cx: &Context, relay: &mut Relay, vitals: &Vitals) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.counters(relay);
    page.gauges(cx, relay);
    let meter = &vitals.meter;
    let help = "How long each tick of the loop worked, in seconds.";
    page.histogram("sealwax_tick_seconds", help, &meter.times, NANOS);
    let help = "How many events each tick of the loop had.";
    page.histogram("sealwax_tick_events", help, &meter.events, 1.0);
    let longest = meter.longest_lately(cx.now()).as_secs_f64();
    let help = "The longest tick of this second and the last one, in seconds.";
    page.one("sealwax_longest_tick_seconds", help, "gauge", longest);
    page.process(vitals);
    page.0
}

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, help: &str, kind: &str, value: impl std::fmt::Display) {
        self.head(name, help, kind);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// Those of the log, under the same names.
    fn counters(&mut self, relay: &mut Relay) {
        let mut last = "";
        for count in relay.counters().each() {
            let name = format!("sealwax_{}_total", count.group);
            if count.group != last {
                self.head(&name, count.help, "counter");
                last = count.group;
            }
            let _ = match &count.label {
                None => writeln!(self.0, "{name} {}", count.count),
                Some((key, label)) => {
                    writeln!(self.0, "{name}{{{key}=\"{label}\"}} {}", count.count)
                }
            };
        }
        let traffic = relay.traffic();
        for (name, help, value) in [
            (
                "sealwax_messages_total",
                "Frames that were queued for another user.",
                traffic.messages,
            ),
            (
                "sealwax_received_bytes_total",
                "Bytes that came from connections and were used.",
                traffic.received,
            ),
            ("sealwax_sent_bytes_total", "Bytes that were queued for connections.", traffic.sent),
        ] {
            self.one(name, help, "counter", value);
        }
    }

    fn gauges(&mut self, cx: &Context, relay: &Relay) {
        let gauges = relay.gauges();
        let silence = relay.store_silence(cx.now()).as_secs_f64();
        for (name, help, value) in [
            ("sealwax_connections", "Open connections.", gauges.connections),
            ("sealwax_max_connections", "Connections that there may be.", gauges.max_connections),
            ("sealwax_users", "Connections that are registered.", gauges.users),
            ("sealwax_tls_connections", "Connections that speak TLS.", gauges.tls),
            ("sealwax_names", "Names that are bound to a key.", gauges.names),
            ("sealwax_names_asked", "Names that the store is binding.", gauges.names_asked),
            ("sealwax_letter_takers", "Connections that take letters.", gauges.takers),
            ("sealwax_letters_asked", "Unanswered questions about letters.", gauges.letters_asked),
            ("sealwax_queued_bytes", "Bytes that wait for connections.", cx.queued_in_all()),
            (
                "sealwax_output_bytes",
                "Memory that holds what waits for connections.",
                cx.output_in_all(),
            ),
            ("sealwax_kept_bytes", "Memory that holds unfinished frames.", cx.kept_in_all()),
            ("sealwax_draining", "1 while the relay is leaving.", usize::from(relay.is_ending())),
        ] {
            self.one(name, help, "gauge", value);
        }
        if let Some(letters) = gauges.letters {
            self.one("sealwax_letters", "Letters that wait in all boxes.", "gauge", letters);
        }
        if let Some(bytes) = gauges.letter_bytes {
            self.one("sealwax_letter_bytes", "Bytes of all letters that wait.", "gauge", bytes);
        }
        if let Some(cluster) = relay.cluster_state() {
            for (name, help, value) in [
                ("sealwax_cluster_joined", "1 while the lease is held.", cluster.is_joined.into()),
                (
                    "sealwax_cluster_connected",
                    "1 while both connections to the engine stand.",
                    cluster.is_connected.into(),
                ),
                ("sealwax_cluster_users", "Users at all relays.", cluster.users),
                (
                    "sealwax_cluster_lists_all",
                    "1 while no user is missing in rosters because there are too many.",
                    cluster.lists_all.into(),
                ),
                (
                    "sealwax_cluster_frames",
                    "Frames for other relays that were not answered.",
                    cluster.frames,
                ),
                (
                    "sealwax_cluster_letters_left",
                    "Letters from before the relay joined that are still in its own file.",
                    usize::try_from(cluster.letters_left).unwrap_or(usize::MAX),
                ),
            ] {
                self.one(name, help, "gauge", value);
            }
        }
        let help = "For how long the store has not answered although it was asked, in seconds.";
        self.one("sealwax_store_silence_seconds", help, "gauge", silence);
    }

    /// What every process tells, under the names that all exporters use.
    fn process(&mut self, vitals: &Vitals) {
        let process = ProcessState::now();
        let version = env!("CARGO_PKG_VERSION");
        self.head("sealwax_build_info", "The version of the program.", "gauge");
        let _ = writeln!(self.0, "sealwax_build_info{{version=\"{version}\"}} 1");
        #[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit
        let started = vitals.started_wall as f64 / 1e3;
        let help = "When the process began, in seconds since 1970.";
        self.one("process_start_time_seconds", help, "gauge", format_args!("{started:.3}"));
        if let Some(cpu) = process.cpu {
            let help = "Processor time of the process, in seconds.";
            self.one("process_cpu_seconds_total", help, "counter", cpu.as_secs_f64());
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory of the process.", process.memory),
            ("process_open_fds", "Open descriptors.", process.descriptors),
            ("process_max_fds", "Descriptors that there may be.", process.max_descriptors),
        ] {
            if let Some(value) = value {
                self.one(name, help, "gauge", value);
            }
        }
    }

    /// `unit`: how many of the histogram's units make one of the metric's.
    fn histogram<const N: usize>(&mut self, name: &str, help: &str, of: &Buckets<N>, unit: f64) {
        #[allow(clippy::cast_precision_loss)] // of sums over 2⁵³ the last digits do not matter
        let in_unit = |value: u64| value as f64 / unit;
        self.head(name, help, "histogram");
        for (bound, count) in of.cumulative() {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {count}", in_unit(bound));
        }
        let (count, sum) = (of.count(), in_unit(of.sum()));
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}");
    }
}
