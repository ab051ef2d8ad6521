//! The arguments of `sealwax load`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nix::libc::pid_t;

use super::serve::listen_addresses;
use super::{bytes, relay_address, seconds, timeout};
use crate::address::Address;
use crate::limits;

/// `sealwax load`
#[derive(Args, Debug)]
#[command(after_help = "\
Without --relay it starts a relay of its own, on a free port and a processor of its own,
and ends it when it is done. What stands behind `--` goes to that relay.

Each message is numbered and checked: whole, once, in order. Latencies count from when an operation
was meant to start, and with --rate those that the relay held up are done afterwards, so that a
relay that stands still shows.

Examples:
  sealwax load pingpong --pairs 1              the latency of one pair
  sealwax load flood                           the processor time of a message
  sealwax load connect                         that of a connection
  sealwax load connect --v2                    with proof of the key
  sealwax load hold 10000                      the memory of an idle one
  sealwax load flood --beside floor            the same as a ratio to the bound
  sealwax load flood --rate 100000 --mesh      at a fixed rate, to random users
  sealwax load connect --json >before.ndjson   …
  sealwax load connect --compare before.ndjson
  sealwax load flood --relay 127.0.0.1:12345 --pid $(pidof -s sealwax)

Exit codes: 0 all went well · 1 a message was lost, changed or out of order, an operation did not
  finish, or something else went wrong · 2 usage · 5 the relay cannot be reached")]
pub struct Load {
    /// What to do.
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// What can be done to a relay.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Users connect, register, wait for the first answer and leave
    Connect(Connect),
    /// Users are connected and say nothing, but for one pair
    Hold(Hold),
    /// Pairs of users send one message to and fro
    Pingpong(PingPong),
    /// Pairs of users, of whom one sends as fast as the other receives
    Flood(Flood),
    /// Run the bound itself: a forwarder of bytes between fixed pairs, to be measured with other
    /// tools
    Floor(Floor),
}

/// `sealwax load connect`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load connect --count 100000
  sealwax load connect --v2 --at-once 8")]
pub struct Connect {
    /// How many do so at a time
    #[arg(long, value_name = "COUNT", default_value = "32", value_parser = count(1, MOST_USERS))]
    pub at_once: u32,
    /// How many more are there.
    #[command(flatten)]
    pub idle: Idle,
    /// What they have in common.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Users beside those who work.
#[derive(Args, Debug)]
pub struct Idle {
    /// More users who are connected meanwhile and say nothing
    #[arg(long = "idle", value_name = "COUNT", default_value = "0",
        value_parser = count(0, MOST_USERS))]
    pub users: u32,
}

/// `sealwax load hold`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load hold 10000
  sealwax load hold 10000 --rate 1000")]
pub struct Hold {
    /// Users who say nothing
    #[arg(value_name = "COUNT", value_parser = count(1, MOST_USERS))]
    pub idle: u32,
    /// What they have in common.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load pingpong`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load pingpong --pairs 1
  sealwax load pingpong --idle 10000 --beside floor")]
pub struct PingPong {
    /// Pairs of users
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = count(1, MOST_PAIRS))]
    pub pairs: u32,
    /// How many more are there.
    #[command(flatten)]
    pub idle: Idle,
    /// What they have in common.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load flood`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load flood
  sealwax load flood --mesh --rate 100000")]
pub struct Flood {
    /// Pairs of users
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = count(1, MOST_PAIRS))]
    pub pairs: u32,
    /// Messages of a sender that may be on their way
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = bytes(1, 65_536))]
    pub window: usize,
    /// Each message goes to a random user
    #[arg(long)]
    pub mesh: bool,
    /// How many more are there.
    #[command(flatten)]
    pub idle: Idle,
    /// What they have in common.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load floor`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load floor --listen 127.0.0.1:7000")]
pub struct Floor {
    /// Where to listen; of a name, one of its addresses, IPv4 first
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:12345",
        value_parser = first_address)]
    pub listen: SocketAddr,
    /// Never sleep
    #[arg(long)]
    pub spin: bool,
}

/// What users are told of who is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Roster {
    /// The whole list on each change, as original clients are
    Full,
    /// The whole list once, then changes
    Delta,
    /// Nothing
    None,
}

/// What stands beside the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    /// The bound: a forwarder of bytes between fixed pairs
    Floor,
    /// The same, never asleep
    FloorSpin,
    /// Publish and subscribe of redis-server, where it is installed
    Redis,
    /// nats-server, where it is installed
    Nats,
    /// mosquitto (MQTT at most once), where it is installed
    Mosquitto,
    /// ngircd (private messages of IRC), where it is installed
    Ngircd,
}

/// What all kinds of load have in common.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The relay to be measured [default: one that is started for this]
    #[arg(long, value_name = "HOST:PORT", value_parser = relay_address)]
    pub relay: Option<Address>,
    /// What is measured in turn with it, on the same processor, and stands beside it in the table
    #[arg(long, value_enum, value_name = "OTHER", value_delimiter = ',')]
    pub beside: Vec<Beside>,
    /// How often each is measured; the table tells medians [default: 1, or 5 with --beside]
    #[arg(long, value_name = "COUNT", value_parser = count(1, 1000))]
    pub rounds: Option<u32>,
    /// The relay's process, on this machine: its processor time and memory are told. It has to be
    /// the one that listens there
    #[arg(long, requires = "relay")]
    pub pid: Option<pid_t>,
    /// Processors for a relay that is started and for this program [default: the first two, for a
    /// relay that is started]
    #[arg(long, value_name = "CPU,CPU", value_parser = two_cpus)]
    pub pin: Option<(usize, usize)>,
    /// Operations that start each second [default: each starts when there is room]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long it is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = timeout)]
    pub duration: Duration,
    /// Measure this many operations, however long they take
    #[arg(long, value_name = "OPERATIONS", conflicts_with = "duration",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How long it works before it is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub warm_up: Duration,
    /// Over how long users connect beforehand, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub ramp: Duration,
    /// How long anything may take before it counts as failed, and what was late may be done
    /// afterwards, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub timeout: Duration,
    /// Users of version 2, who prove their keys
    #[arg(long)]
    pub v2: bool,
    /// Users speak TLS with the relay; what stands beside it stays plain
    #[arg(long)]
    pub tls: bool,
    /// What users are told of who is here [default: full for connect, otherwise none]
    #[arg(long, value_enum)]
    pub roster: Option<Roster>,
    /// The length of a message, in bytes of its frame
    #[arg(long, value_name = "BYTES", default_value = "131",
        value_parser = bytes(1, limits::MAX_FRAME))]
    pub size: usize,
    /// Machine-readable: one JSON object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Write the latencies to this file, as a log of HdrHistogram
    #[arg(long, value_name = "FILE")]
    pub histogram: Option<PathBuf>,
    /// Compare with what `--json` has printed into this file
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Options of `sealwax serve`, for a relay that is started
    #[arg(last = true, value_name = "OPTION", conflicts_with = "relay")]
    pub serve: Vec<String>,
}

/// Far more than one machine connects, and few enough names.
const MOST_USERS: u32 = 1_000_000;
const MOST_PAIRS: u32 = 250_000;

fn count(least: u32, most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let parsed: u32 = text.parse().map_err(|_| "not a whole number".to_string())?;
        if (least..=most).contains(&parsed) {
            return Ok(parsed);
        }
        Err(format!("not between {least} and {most}"))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let parsed: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    let sensible = (0.001..=1e9).contains(&parsed);
    if sensible { Ok(parsed) } else { Err("not between 0.001 and 1000000000".to_owned()) }
}

fn first_address(text: &str) -> Result<SocketAddr, String> {
    listen_addresses(text).map(|found| found.0[0]) // it has one at least
}

fn two_cpus(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once(',')
        .and_then(|(target, own)| Some((target.trim().parse().ok()?, own.trim().parse().ok()?)));
    parsed.ok_or_else(|| "not two numbers of processors, such as 0,1".to_owned())
}
