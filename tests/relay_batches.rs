//! Many frames in one read, passed on in one go (`src/relay/batch.rs`): the same comes out as of one
//! frame after another.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sealwax::reactor::limits::CHUNK_SIZE;
use sealwax::relay::RelayConfig;
use serde_json::Value;
use support::simulated::{Simulated, hear};

const USERS: [&str; 3] = ["JG", "yidir", "zo\u{e9} \"z\""];

/// What JG may send, or something near it.
fn frame() -> impl Strategy<Value = String> {
    let to = select(vec!["yidir", "JG", "zo\\u00e9 \\\"z\\\"", "nobody", "yid\\u0069r"]);
    let from = select(vec![
        "\"from\": \"JG\", ",
        "\"from\": \"JG\", ",
        "\"from\": \"yidir\", ",
        "\"from\": \"J\\u0047\", ",
        "",
    ]);
    let id = select(vec!["", "", "\"id\": \"7\", ", "\"v\": 2, ", "\"x\": {}, "]);
    let content = prop_oneof![0..200_usize, Just(CHUNK_SIZE)];
    let end = select(vec!["\n", "\n", "\n", "", " \n", "\r\n", "{\"action\": \"ping\"}"]);
    (to, from, id, content, end).prop_map(|(to, from, id, content, end)| {
        let content = "c".repeat(content);
        format!("{{\"action\": \"message\", \"to\": \"{to}\", {from}{id}\"content\": \"{content}\"}}{end}")
    })
}

/// What each user hears of `writes` by JG.
fn outcome(config: &RelayConfig, writes: &[&[u8]]) -> Vec<Vec<Value>> {
    let mut relay = Simulated::start(*config);
    relay.kernel.set_buffer(1 << 20);
    let mut users = USERS.map(|name| relay.join(name, "none"));
    for bytes in writes {
        assert_eq!(users[0].send(bytes), bytes.len());
        relay.settle();
    }
    users.iter_mut().map(hear).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn joined_they_do_what_each_does_alone(
        kinds in vec(frame(), 1..6),
        order in vec((0..6_usize, 1..20_usize), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames: Vec<&str> = order
            .iter()
            .flat_map(|&(kind, times)| vec![kinds[kind % kinds.len()].as_str(); times])
            .collect();
        let config = RelayConfig::default();
        let alone: Vec<&[u8]> = frames.iter().map(|frame| frame.as_bytes()).collect();
        let expected = outcome(&config, &alone);
        let joined = frames.concat().into_bytes();
        prop_assert_eq!(&outcome(&config, &[&joined]), &expected);
        let (front, back) = joined.split_at(cut.index(joined.len()));
        prop_assert_eq!(&outcome(&config, &[front, back]), &expected);
    }
}

/// Within one read, as in many: what is more than the soft limit is refused, each frame by itself.
#[test]
fn a_run_ends_where_its_addressee_is_full() {
    let frame =
        "{\"action\": \"message\", \"to\": \"yidir\", \"from\": \"JG\", \"content\": \"\"}\n";
    let most = 20;
    let config = RelayConfig { outbox_soft: most * frame.len() - 1, ..RelayConfig::default() };
    let heard = outcome(&config, &[frame.repeat(30).as_bytes()]);
    assert_eq!(heard[1].len(), most, "the last one made it more than full");
    assert_eq!(heard[0].len(), 30 - most);
    assert!(heard[0].iter().all(|answer| answer["code"] == "queue_full"));
}
