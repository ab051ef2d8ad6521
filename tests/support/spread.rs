//! The same tests on a cluster: with `SEALWAX_TEST_RELAYS=2` each relay that a test starts is that
//! many relays on a redis-server, and each connection goes to a random one of them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use tempfile::TempDir;

use super::process::text;
use super::redis::Redis;

/// The relays that stand for one, by the address of the first.
static SPREAD: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

/// How many relays stand for one.
pub fn relays() -> usize {
    let asked = std::env::var("SEALWAX_TEST_RELAYS").ok();
    asked.map_or(1, |count| count.parse().expect("SEALWAX_TEST_RELAYS is a number"))
}

/// What relays that stand for one have in common.
pub struct Common {
    redis: Redis,
    directory: TempDir,
}

impl Common {
    /// Where one relay is to stand for itself, and where there is no engine: `None`.
    pub fn start() -> Option<Self> {
        if relays() == 1 {
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        Some(Self { redis: Redis::start(&[])?, directory })
    }

    pub fn socket(&self) -> PathBuf {
        self.redis.socket()
    }

    /// The options of the relay of this number, which is otherwise as `options` say.
    pub fn options(&self, number: usize, options: &[&str]) -> Vec<String> {
        let engine = format!("unix:{}", text(&self.redis.socket()));
        let key = self.directory.path().join("keys/relay.key");
        let mut all: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        if let Some(home) = all.iter().position(|option| option == "--home") {
            all[home + 1] += ["", "-2", "-3"][number];
        } else if number > 0 && !options.contains(&"--ephemeral") {
            let home = self.directory.path().join(number.to_string());
            all.extend(["--home".to_owned(), text(&home).to_owned()]); // the first has its user's
        }
        all.extend(["--cluster".to_owned(), engine, "--cluster-init".to_owned()]);
        all.extend(["--relay-key".to_owned(), text(&key).to_owned()]);
        all
    }
}

/// From now on connections to the first of these go to any of them.
pub fn spread(relays: Vec<String>) {
    let first = relays[0].clone();
    SPREAD.lock().expect("nobody fails with it").insert(first, relays);
}

/// Where a connection to `relay` goes.
pub fn pick(relay: &str) -> String {
    let spread = SPREAD.lock().expect("nobody fails with it");
    let Some(all) = spread.get(relay) else { return relay.to_owned() };
    let random = usize::try_from(RandomState::new().hash_one(0) % all.len() as u64);
    all[random.expect("a small number")].clone()
}

/// The same for an address.
pub fn pick_address(relay: SocketAddr) -> SocketAddr {
    pick(&relay.to_string()).parse().expect("an address")
}
