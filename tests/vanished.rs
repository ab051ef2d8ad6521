//! A peer that vanishes without a word (a cable, a mobile network) frees its name within the time
//! that keepalive and the user timeout give it: 90 s, so this runs only when asked:
//!
//! ```sh
//! cargo test --test vanished -- --ignored --nocapture
//! ```
//!
//! Two network namespaces (`ip-netns(8)`) with a cable between them stand in for two machines; the
//! cable is pulled. Where namespaces cannot be made the test says so and does nothing.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealwax::reactor::end_with_parent;
use sealwax::reactor::limits::{
    KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES, USER_TIMEOUT_MILLISECONDS,
};
use support::process::Homes;

const ADDRESS: &str = "198.51.100.1"; // of documentation (RFC 5737): nobody is reached by it

/// Two machines with a cable between them.
struct Machines {
    relay: String,
    users: String,
}

impl Machines {
    fn new() -> Option<Self> {
        let id = std::process::id();
        let machines = Self { relay: format!("swxr{id}"), users: format!("swxu{id}") };
        let Self { relay, users } = &machines;
        let commands = [
            format!("netns add {relay}"),
            format!("netns add {users}"),
            format!("-n {relay} link add cable type veth peer name cable netns {users}"),
            format!("-n {relay} address add {ADDRESS}/24 dev cable"),
            format!("-n {users} address add 198.51.100.2/24 dev cable"),
            format!("-n {relay} link set cable up"),
            format!("-n {users} link set cable up"),
            format!("-n {relay} link set lo up"),
        ];
        for command in &commands {
            if let Err(why) = ip(command) {
                println!("skipped: no network namespaces here: ip {command}: {why}");
                return None;
            }
        }
        Some(machines)
    }

    fn pull_the_cable(&self) {
        ip(&format!("-n {} link set cable down", self.users)).expect("it was up");
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in [&self.relay, &self.users] {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// `sealwax` on one of the machines; it ends with the test.
struct There(Child);

impl There {
    fn start(machine: &str, arguments: &[String]) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", machine, env!("CARGO_BIN_EXE_sealwax")]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(end_with_parent(&mut command).spawn().expect("ip(8) is there"))
    }
}

impl Drop for There {
    fn drop(&mut self) {
        let _ = self.0.kill(); // `ip netns exec` has become the program
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "takes 90 s, and needs to be root"]
fn a_peer_that_vanishes_frees_its_name_in_time() {
    let Some(machines) = Machines::new() else { return };
    let homes = Homes::new();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let listen = format!("serve --ephemeral --listen {ADDRESS}:12345");
    let mut relay = There::start(&machines.relay, &words(&listen));
    let mut log = BufReader::new(relay.0.stderr.take().expect("piped")).lines();
    let mut told = |is_it: &dyn Fn(&str) -> bool| loop {
        let line = log.next().expect("the relay runs").expect("text");
        println!("{line}");
        if is_it(&line) {
            return line;
        }
    };
    told(&|line| line.starts_with("listening on"));
    let client = |name: &str, command: &str| {
        let mut arguments = words(command);
        arguments.extend(homes.options(name, &format!("{ADDRESS}:12345")));
        arguments
    };
    // One is idle; another is written to after it has vanished.
    let _alice = There::start(&machines.users, &client("alice", "recv"));
    told(&|line| line.contains("alice registered"));
    let _bob = There::start(&machines.users, &client("bob", "recv"));
    told(&|line| line.contains("bob registered"));
    machines.pull_the_cable();
    let vanished = Instant::now();
    let _carol = There::start(&machines.relay, &client("carol", "send --wait 1 bob hello"));
    let keepalive = KEEPALIVE_IDLE_SECONDS + KEEPALIVE_INTERVAL_SECONDS * KEEPALIVE_PROBES;
    let user = Duration::from_millis(USER_TIMEOUT_MILLISECONDS.into());
    let within = user.max(Duration::from_secs(keepalive.into()));
    for _ in 0..2 {
        let line =
            told(&|line| line.contains("left: ETIMEDOUT") || line.contains("left: EHOSTUNREACH"));
        let name = line.split(' ').nth(2).unwrap_or_default().to_owned();
        println!("{name} is free after {:.1?}; promised: {within:?}", vanished.elapsed());
    }
}
