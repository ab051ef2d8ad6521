//! The arguments of `sealwax load`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nix::libc::pid_t;

use super::serve::listen_addresses;
use super::{relay_address, seconds, timeout, whole};
use crate::address::Address;
use crate::limits;

/// `sealwax load`
#[derive(Args, Debug)]
#[command(after_help = "\
Without --relay it starts a relay on a free port and on a processor of its own, and ends it when the
measurement is over. Arguments behind `--` are options for that relay.

Each message is numbered, and the program checks that it arrives whole, once and in order. A latency
is counted from the moment at which the operation was planned to start. With --rate, operations that
the relay delayed are done later. So a relay that stops for a while has high latencies (no
\"coordinated omission\"). Without --rate the next operation waits for the one before it.

The table has a column for each program that is measured (the target), and one for each ratio.
With several rounds a cell is median (least…most). Its rows:
  offered, operations/s   planned to start in a second: with --rate, the rate
  done, operations/s      finished in a second
  handled, messages/s     arrived in a second (connections/s: made); `each` below is one of these
  payload, MB/s           frames that arrived, in 1,000,000 bytes a second, without line ends
  from the target, MB/s   all that its connections carried to the users, with TLS and rosters
  to the target, MB/s     all that the users sent
  target: CPU µs each     processor time of the target, by what it handled
  target: reads each      its calls of read and the like; `writes each` likewise
  target: writes each     below 1 where one call carries several messages
  target: CPU busy, %     of one processor; more than 100 where it has several threads
  generator: CPU busy, %  of this program: near 100 it is what was measured
  generator: late, %      operations that it started over 1 ms late, with nothing in the way
  latency samples         latencies that were measured; below 10,000, p99.9 says little
  latency p50, µs         half of the operations took at most this long
  latency p90, µs         9 of 10; `–` where no sample is slower
  latency p99, µs         99 of 100
  latency p99.9, µs       999 of 1,000
  latency max, µs         the slowest; one that never ended counts with its age
  target: memory, MiB     in use (resident), when all users were connected
  bytes an idle user      what --idle or hold added to it, by user; exact for thousands of users
  errors                  of all rounds, by class below it; 0 where nothing went wrong
  not finished            operations that were planned and not done within --timeout

Examples:
  sealwax load pingpong --pairs 1              the latency of one pair
  sealwax load flood                           the processor time of a message
  sealwax load connect                         the processor time of a connection
  sealwax load connect --v2                    the same, with proof of the key
  sealwax load connect --tls                   the same, with a TLS handshake
  sealwax load hold 10000                      the memory of an idle connection
  sealwax load flood --beside floor            compared with a program that only forwards bytes
  sealwax load flood --rate 100000 --mesh      at a fixed rate, to random users
  sealwax load connect --json >before.ndjson   …
  sealwax load connect --compare before.ndjson
  sealwax load flood --relay 127.0.0.1:12345 --pid $(pidof -s sealwax)
  sealwax load flood --relay 10.0.0.1:12345,10.0.0.2:12345 --crossing 100

Exit codes: 0 all went well · 1 a message was lost, changed or out of order, an operation did not
  finish, or something else failed · 2 usage · 5 the relay cannot be reached")]
pub struct Load {
    /// What to do.
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// What can be done to a relay.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Users connect, register, wait for the first answer and disconnect
    #[command(after_help = "Examples:
  sealwax load connect --count 100000
  sealwax load connect --v2 --at-once 8

`sealwax load --help` explains the table.")]
    Connect(SingleUsers),
    /// Users are connected and send nothing; one pair of users writes to each other
    Hold(Hold),
    /// Users send messages to an echo server; each waits until its message has come back
    #[command(after_help = "Examples:
  sealwax load echo --relay 127.0.0.1:7007 --at-once 1 --idle 899

--relay names the server, which sends back to each connection what it gets there; it knows nothing
of a relay's protocol. `sealwax load --help` explains the table.")]
    Echo(SingleUsers),
    /// Each pair of users sends one message back and forth
    Pingpong(PingPong),
    /// In each pair of users one sends as fast as the other receives
    Flood(Flood),
    /// Run the program to compare with, to measure it with other tools: it only forwards bytes
    /// between fixed pairs of connections
    Floor(Floor),
}

/// `sealwax load connect` and `sealwax load echo`: single users, not pairs.
#[derive(Args, Debug)]
pub struct SingleUsers {
    /// How many users do so at one time
    #[arg(long, value_name = "COUNT", default_value = "32", value_parser = count(1, MOST_USERS))]
    pub at_once: u32,
    /// How many more users are connected.
    #[command(flatten)]
    pub idle: Idle,
    /// The options of all kinds of load.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Users who are connected and send nothing.
#[derive(Args, Debug)]
pub struct Idle {
    /// How many more users are connected meanwhile and send nothing
    #[arg(long = "idle", value_name = "COUNT", default_value = "0",
        value_parser = count(0, MOST_USERS))]
    pub users: u32,
}

/// `sealwax load hold`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load hold 10000
  sealwax load hold 10000 --rate 1000

`sealwax load --help` explains the table.")]
pub struct Hold {
    /// How many users are connected and send nothing
    #[arg(value_name = "COUNT", value_parser = count(1, MOST_USERS))]
    pub idle: u32,
    /// The options of all kinds of load.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load pingpong`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load pingpong --pairs 1
  sealwax load pingpong --idle 10000 --beside floor

`sealwax load --help` explains the table.")]
pub struct PingPong {
    /// How many pairs of users
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = count(1, MOST_PAIRS))]
    pub pairs: u32,
    /// How many more users are connected.
    #[command(flatten)]
    pub idle: Idle,
    /// The options of all kinds of load.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load flood`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load flood
  sealwax load flood --mesh --rate 100000

`sealwax load --help` explains the table.")]
pub struct Flood {
    /// How many pairs of users
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = count(1, MOST_PAIRS))]
    pub pairs: u32,
    /// How many messages of one sender may be sent and not received yet
    #[arg(long, value_name = "COUNT", default_value = "64",
        value_parser = whole::<usize>(1, 65_536, 64))]
    pub window: usize,
    /// Send each message to a random user, and not to the sender's pair
    #[arg(long)]
    pub mesh: bool,
    /// How many more users are connected.
    #[command(flatten)]
    pub idle: Idle,
    /// The options of all kinds of load.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `sealwax load floor`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax load floor --listen 127.0.0.1:7000")]
pub struct Floor {
    /// Where to listen; for a host name, one of its addresses, IPv4 first
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:12345",
        value_parser = first_address)]
    pub listen: SocketAddr,
    /// Never sleep
    #[arg(long)]
    pub spin: bool,
}

/// Which lists of connected users a user gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Roster {
    /// The whole list at each change, as clients of the original protocol get it
    Full,
    /// The whole list once, then only changes
    Delta,
    /// Nothing
    None,
}

/// What the relay is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    /// A program that only forwards bytes between fixed pairs of connections
    Floor,
    /// The same, without ever sleeping
    FloorSpin,
    /// Publish and subscribe of redis-server, where it is installed
    Redis,
    /// nats-server, where it is installed
    Nats,
    /// Two nats-servers that act as one, where it is installed
    NatsCluster,
    /// mosquitto (MQTT at most once), where it is installed
    Mosquitto,
    /// ngircd (private messages of IRC), where it is installed
    Ngircd,
}

/// The options of all kinds of load.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The relay to measure, or several that act as one (`serve --cluster`): users are spread over
    /// them [default: start one]
    #[arg(long, value_name = "HOST:PORT", value_parser = measured_relay, value_delimiter = ',')]
    pub relay: Vec<Address>,
    /// Of how many pairs in a hundred the two are at different relays, where there are several
    /// [default: 50]
    #[arg(long, value_name = "PERCENT", value_parser = whole::<u32>(0, 100, 50))]
    pub crossing: Option<u32>,
    /// Measure this too, in turn with the relay and on the same processor; one table shows both
    #[arg(long, value_enum, value_name = "OTHER", value_delimiter = ',')]
    pub beside: Vec<Beside>,
    /// How often each is measured; the table shows medians [default: 1, or 5 with --beside]
    #[arg(long, value_name = "COUNT", value_parser = count(1, 1000))]
    pub rounds: Option<u32>,
    /// The process of the relay given by --relay, on this machine, to show its processor time and
    /// memory. It has to be the process that listens at that address. Of several relays: that of
    /// each, in their order; further processes, such as their engine, are counted with them
    #[arg(long, requires = "relay", value_delimiter = ',')]
    pub pid: Vec<pid_t>,
    /// The processor for a relay that is started, and the one for this program [default: the first
    /// two, if a relay is started]
    #[arg(long, value_name = "CPU,CPU", value_parser = two_cpus)]
    pub pin: Option<(usize, usize)>,
    /// How many operations start each second [default: each starts as soon as it can]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long to measure, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = timeout)]
    pub duration: Duration,
    /// Measure this many operations, however long they take
    #[arg(long, value_name = "OPERATIONS", conflicts_with = "duration",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How long operations run before measuring begins, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub warm_up: Duration,
    /// The time over which users connect before that, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub ramp: Duration,
    /// How long an operation may take before it counts as failed, and how long delayed operations
    /// may be done after the end, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub timeout: Duration,
    /// Use version 2 of the protocol, in which users prove their keys
    #[arg(long)]
    pub v2: bool,
    /// Users use TLS with the relay, nats and mosquitto; others measured with --beside have none.
    /// No certificate is checked
    #[arg(long)]
    pub tls: bool,
    /// Which lists of connected users they get [default: full for connect, otherwise none]
    #[arg(long, value_enum)]
    pub roster: Option<Roster>,
    /// The length of the frame of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value = "131",
        value_parser = whole::<usize>(1, limits::MAX_FRAME, 1024))]
    pub size: usize,
    /// Machine-readable: one JSON object on each line of standard output
    #[arg(long)]
    pub json: bool,
    /// Write the latencies to this file: as an HdrHistogram log, or as a percentile distribution
    /// where its name ends in .hgrm (of several programs: one file each, such as NAME-floor.hgrm)
    #[arg(long, value_name = "FILE")]
    pub histogram: Option<PathBuf>,
    /// Compare with this file, which is the output of an earlier run with --json
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Options of `sealwax serve`, for the relay that is started
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

/// Of a relay that is measured.
fn measured_relay(text: &str) -> Result<Address, String> {
    let address = relay_address(text)?;
    if address.is_checked() {
        return Err("no certificate is checked here: write HOST:PORT, and --tls".to_owned());
    }
    Ok(address)
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
