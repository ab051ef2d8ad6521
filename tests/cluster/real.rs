//! Two relays and a real `redis-server`: what one does, and what the other sees.

use sealwax::cluster::engine::{Engine, Ticket};
use sealwax::cluster::frames::{self, ForwardAnswer, Parcel, ParcelKind, Read};
use sealwax::cluster::letters::{self, LetterOutcome, LetterToKeep, LetterUser, LettersWanted};
use sealwax::cluster::limits::{
    CHANGES, ENTRY_BYTES, LEASE, MAX_INBOX, READ_AT_ONCE, REAPED_A_CALL,
};
use sealwax::cluster::members::{Members, News, Wanted};
use sealwax::cluster::names::{
    self, BindAnswer, ClaimAnswer, HolderAnswer, Known, LeaseAnswer, LeaseStep, ReapAnswer,
    RestoreAnswer,
};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Call;
use sealwax::cluster::{EngineFault, Incarnation, Place, keys};
use sealwax::wire::{Fingerprint, LetterKind, TakeMode};

use crate::support::fixtures::letter_key;
use crate::support::redis::{Connection, Redis};
use crate::world::{ID, START, claim, claim_again, fp, relay, settings, take};

/// A relay with a lease, and a copy that is up to date.
struct Relay {
    own: Incarnation,
    connection: Connection,
    members: Members,
    /// The number of the last entry that it read of what waits for it.
    read: u64,
}

impl Relay {
    fn start(redis: &Redis, own: Incarnation) -> Self {
        let mut connection = Connection::open(redis, own, &settings()).unwrap();
        let taken = names::leased(&connection.call(&take(own)).unwrap()).unwrap();
        let LeaseAnswer::Held { epoch, change, .. } = taken else { panic!("{taken:?}") };
        let mut members = Members::default();
        members.begin(&epoch, change);
        let mut relay = Self { own, connection, members, read: 0 };
        relay.scan();
        relay
    }

    fn call(&mut self, call: &Call) -> Value {
        self.connection.call(call).unwrap()
    }

    fn scan(&mut self) {
        while let Wanted::Part(cursor) = self.members.wanted() {
            let page = self.connection.ask("HSCAN", &frames::scan(cursor)).unwrap();
            self.members.scanned(frames::scanned(&page).unwrap());
        }
    }

    /// What both streams have for it; it waits where that is nothing.
    fn read(&mut self) -> Read {
        let Wanted::Changes(number) = self.members.wanted() else { panic!("a snapshot is due") };
        let command = frames::read_streams(self.own, self.read, Some(number));
        let read =
            frames::read(self.own, &self.connection.ask("XREAD", &command).unwrap()).unwrap();
        self.members.changed(read.changes.clone());
        self.read = read.parcels.last().map_or(self.read, |parcel| parcel.number);
        read
    }

    fn renewed(&mut self) -> LeaseAnswer {
        let call = names::lease(self.own, LeaseStep::Renew, ID, "");
        names::leased(&self.call(&call)).unwrap()
    }

    fn claim(&mut self, name: &str, session: u64, v2: bool) -> ClaimAnswer {
        let claim = claim(self.own, name, session, &fp(1), v2);
        names::claimed(&self.call(&claim)).unwrap()
    }

    fn forward(&mut self, to: Incarnation, kind: ParcelKind, data: &[u8]) -> ForwardAnswer {
        let call = frames::forward(self.own, to, kind, data.to_vec());
        frames::forwarded(&self.call(&call)).unwrap()
    }

    fn news(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.members.next_news()).collect()
    }
}

#[test]
fn a_user_who_connects_elsewhere_replaces_itself() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    assert_eq!(one.claim("alice", 5, true), ClaimAnswer::NotBound);
    let bind = names::bind(one.own, "alice", &fp(1), true);
    assert_eq!(names::bound(&one.call(&bind)), Ok(BindAnswer::New));
    assert_eq!(one.claim("alice", 5, true), ClaimAnswer::Taken);

    two.read();
    let at = |own, session| Place { incarnation: own, session, version2: true };
    assert_eq!(two.news(), [News::Came("alice".into())]);
    assert_eq!(two.members.find("alice"), Some(at(one.own, 5)));
    let known = names::found(&two.call(&names::find(two.own, "alice", START))).unwrap();
    let expected = Known {
        place: Some(at(one.own, 5)),
        bound: Some(fp(1)),
        pem: Some("a text".into()),
        prekey: Some(r#"{"id":1}"#.into()),
        letter_key: None,
    };
    assert_eq!(known, expected);
    let before = ClaimAnswer::Replaced { incarnation: one.own, session: 5 };
    assert_eq!(two.claim("alice", 1, true), before);
    let read = one.read();
    let [Parcel { kind: ParcelKind::Replaced, from, data, .. }] = &*read.parcels else {
        panic!("{read:?}")
    };
    assert_eq!((*from, &**data), (two.own, b"5 alice".as_slice()));
    assert_eq!(one.members.find("alice"), Some(at(two.own, 1)));
    // What the old connection still says of the name changes nothing.
    let release = names::release(one.own, "alice", 5);
    assert_eq!(names::released(&one.call(&release)), Ok(HolderAnswer::NotHeld));
    let release = names::release(two.own, "alice", 1);
    assert_eq!(names::released(&two.call(&release)), Ok(HolderAnswer::Done));
    one.read();
    assert_eq!(
        (one.members.find("alice"), one.news().last().cloned()),
        (None, Some(News::Left("alice".into())))
    );
    let known = names::found(&one.call(&names::find(one.own, "alice", START))).unwrap();
    assert_eq!(known, Known { place: None, prekey: None, ..expected });
}

#[test]
fn the_names_of_a_relay_that_ended_are_freed_in_parts() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    let names = REAPED_A_CALL as u64 + 200;
    let claims: Vec<_> =
        (1..=names).map(|it| claim(one.own, &format!("User {it}"), it, &fp(1), false)).collect();
    one.connection.call_all(&claims).unwrap();
    assert_eq!(two.forward(one.own, ParcelKind::Frames, b"frames"), ForwardAnswer::Queued);
    let mut late = Relay::start(&redis, relay(3));
    assert_eq!(late.members.len() as u64, names);

    let reap = names::reap(two.own, one.own);
    assert_eq!(names::reaped(&two.call(&reap)), Ok(ReapAnswer::Alive));
    // The engine ends a lease as this does.
    redis.plain().ask(&["DEL", &keys::lease(one.own)]);
    assert_eq!(one.renewed(), LeaseAnswer::Gone);
    assert_eq!(one.claim("Ada", 9999, false), ClaimAnswer::NoLease);
    assert_eq!(two.claim("User 7", 1, false), ClaimAnswer::Taken, "a name of it is free at once");
    let LeaseAnswer::Held { dead, .. } = two.renewed() else { panic!("two lives") };
    assert_eq!(dead, [one.own]);
    assert_eq!(two.forward(one.own, ParcelKind::Frames, b"more"), ForwardAnswer::Gone);
    let some = |names, left| Ok(ReapAnswer::Reaped { names, left });
    // One of them was taken by another.
    assert_eq!(names::reaped(&two.call(&reap)), some(1000, 199));
    assert_eq!(names::reaped(&two.call(&reap)), some(199, 0));
    assert_eq!(names::reaped(&two.call(&reap)), some(0, 0));
    while late.members.len() > 1 {
        late.read();
    }
    assert_eq!(late.members.find("User 7").map(|place| place.incarnation), Some(two.own));
    let all = redis.plain().ask(&["KEYS", "sealwax:*"]);
    let ours = |key: &&Value| key.text().unwrap().contains(&one.own.to_string());
    assert_eq!(all.array().unwrap().iter().filter(ours).count(), 0, "nothing of it is left");
}

#[test]
fn a_relay_that_comes_back_has_its_users_again_unless_they_went_elsewhere() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    for (session, name) in [(1, "alice"), (2, "bob")] {
        one.call(&names::bind(one.own, name, &fp(1), true));
        assert_eq!(one.claim(name, session, true), ClaimAnswer::Taken);
    }
    redis.plain().ask(&["DEL", &keys::lease(one.own)]);
    assert_eq!(two.claim("bob", 1, true), ClaimAnswer::Taken);
    assert_eq!(one.renewed(), LeaseAnswer::Gone);
    let mut back = Relay::start(&redis, relay(3));
    let mut again = |name, session| {
        let claim = claim_again(back.own, name, session, &fp(1), true);
        names::claimed(&back.call(&claim)).unwrap()
    };
    assert_eq!(again("alice", 1), ClaimAnswer::Taken);
    assert_eq!(again("bob", 2), ClaimAnswer::NameInUse);
    let reaped = names::reaped(&back.call(&names::reap(back.own, one.own)));
    assert_eq!(reaped, Ok(ReapAnswer::Reaped { names: 0, left: 0 }));
    back.read();
    let holds = |name| back.members.find(name).map(|place| place.incarnation);
    assert_eq!((holds("alice"), holds("bob")), (Some(back.own), Some(two.own)));
}

#[test]
fn what_waits_for_a_relay_is_bounded_in_order_and_deleted_when_it_was_read() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    let mut sent = 0;
    let data = |number: usize| [number.to_string().as_bytes(), &[b' '; 16384][..]].concat();
    while one.forward(two.own, ParcelKind::Frames, &data(sent)) == ForwardAnswer::Queued {
        sent += 1;
    }
    let size = "frames".len() + 16384 + ENTRY_BYTES;
    assert!((sent + 1) * (size + 3) > MAX_INBOX && sent * size <= MAX_INBOX, "{sent}");
    assert!(sent > READ_AT_ONCE);
    let small = one.forward(two.own, ParcelKind::Frames, &data(0));
    assert_eq!(small, ForwardAnswer::Full);
    assert_eq!(one.forward(two.own, ParcelKind::Answers, &data(0)), ForwardAnswer::Queued);
    let mut seen = 0;
    while seen < sent {
        let parcels = two.read().parcels;
        for parcel in parcels.iter().filter(|it| it.kind == ParcelKind::Frames) {
            assert_eq!(parcel.data, data(seen));
            seen += 1;
        }
        let bytes = parcels.iter().map(Parcel::bytes).sum();
        let drain = frames::drain(two.own, two.read, bytes);
        assert!(frames::drained(&two.call(&drain)).unwrap().is_some_and(|deleted| deleted > 0));
    }
    assert_eq!(redis.plain().ask(&["XLEN", &keys::inbox(two.own)]), Value::Int(0));
    // While a copy is being made, what waits is read all the same.
    assert_eq!(one.forward(two.own, ParcelKind::Frames, b"small"), ForwardAnswer::Queued);
    let command = frames::read_streams(two.own, two.read, None);
    let read = two.connection.ask("XREAD", &command).unwrap();
    let parcels = frames::read(two.own, &read).unwrap().parcels;
    assert_eq!((&*parcels[0].data, parcels.len()), (b"small".as_slice(), 1));
    two.read = parcels[0].number;
    two.call(&frames::drain(two.own, two.read, 0)); // one before it was lost
    // Nothing waits: even what is longer than the bound goes through.
    let long = vec![b'x'; MAX_INBOX + 1];
    assert_eq!(one.forward(two.own, ParcelKind::Frames, &long), ForwardAnswer::Queued);
    assert_eq!(one.forward(two.own, ParcelKind::Frames, b""), ForwardAnswer::Full);
    assert_eq!(two.read().parcels[0].data.len(), long.len());
}

#[test]
fn a_reader_that_missed_changes_reads_a_snapshot() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    let churn =
        |it: u64| [claim(relay(1), "Ada", it, &fp(1), false), names::release(relay(1), "Ada", it)];
    let calls: Vec<_> = (1..=CHANGES as u64 / 2 + 1).flat_map(churn).collect();
    one.connection.call_all(&calls).unwrap();
    assert_eq!(one.claim("Bea", 1 << 40, false), ClaimAnswer::Taken);
    let len = redis.plain().ask(&["XLEN", keys::CHANGES]);
    assert_eq!(len, Value::Int(i64::try_from(CHANGES).unwrap()));
    two.read();
    assert_eq!(two.members.wanted(), Wanted::Beginning);
    let LeaseAnswer::Held { epoch, change, .. } = two.renewed() else { panic!("two lives") };
    two.members.begin(&epoch, change);
    two.scan();
    assert_eq!(two.news(), [News::Came("Bea".into())]);
    assert_eq!(two.members.wanted(), Wanted::Changes(CHANGES as u64 + 3));
}

#[test]
fn a_lease_ends_by_itself_and_cannot_be_had_again() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut one = Relay::start(&redis, relay(1));
    let renew = names::lease(one.own, LeaseStep::Renew, ID, "");
    let left = [b"PTTL".to_vec(), keys::lease(one.own).into_bytes()];
    one.connection.engine.call(Ticket(1), &renew).unwrap();
    one.connection.engine.ask(Ticket(2), "PTTL", &left).unwrap();
    one.connection.run(Engine::is_empty).unwrap();
    let left = one.connection.answers()[1].1.as_ref().unwrap().number().unwrap();
    assert!(left > 0 && u128::from(left) <= LEASE.as_millis());
    redis.plain().ask(&["PERSIST", &keys::lease(one.own)]);
    let again = names::leased(&one.call(&take(one.own))).unwrap();
    assert_eq!(again, LeaseAnswer::Exists);
    let end = names::lease(one.own, LeaseStep::End, ID, "");
    assert_eq!(names::leased(&one.call(&end)), Ok(LeaseAnswer::Ended));
    assert_eq!(one.renewed(), LeaseAnswer::Gone);
}

#[test]
fn an_engine_that_was_emptied_binds_nothing_until_names_are_restored() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut one = Relay::start(&redis, relay(1));
    for name in ["alice", "bob"] {
        let bind = names::bind(one.own, name, &fp(1), true);
        assert_eq!(names::bound(&one.call(&bind)), Ok(BindAnswer::New));
    }
    redis.plain().ask(&["FLUSHALL"]);
    assert_eq!(one.renewed(), LeaseAnswer::OtherId);
    let bind = names::bind(one.own, "carol", &fp(2), true);
    assert_eq!(names::bound(&one.call(&bind)), Ok(BindAnswer::NoLease));
    let joining = sealwax::cluster::engine::Settings { begins: None, ..settings() };
    let refused = Connection::open(&redis, relay(1), &joining).err();
    assert_eq!(refused, Some(EngineFault::NoCluster));

    // `--cluster-init`: somebody else is faster than the rightful owner of bob.
    let mut two = Relay::start(&redis, relay(2));
    let bind = names::bind(two.own, "bob", &fp(2), true);
    assert_eq!(names::bound(&two.call(&bind)), Ok(BindAnswer::New));
    let restore = names::restore(two.own, [("alice", &fp(1)), ("bob", &fp(1))]);
    let restored = |answer| names::restored(&answer).unwrap();
    let (released, others) = (Vec::new(), vec!["bob".to_owned()]);
    let expected = RestoreAnswer::Restored { released, others };
    assert_eq!(restored(two.call(&restore)), expected);
    // Where an operator has released it of that key, it is another matter, whoever has it since.
    two.call(&names::unbind(two.own, "alice"));
    let bind = names::bind(two.own, "alice", &fp(2), true);
    assert_eq!(names::bound(&two.call(&bind)), Ok(BindAnswer::New));
    let (released, others) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
    let expected = RestoreAnswer::Restored { released, others };
    assert_eq!(restored(two.call(&restore)), expected);
    let bind = names::bind(two.own, "alice", &fp(1), true);
    assert_eq!(names::bound(&two.call(&bind)), Ok(BindAnswer::NameBound));
}

#[test]
fn a_letter_is_kept_and_its_owner_hears_of_it_at_another_relay() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [mut one, mut two] = [1, 2].map(|number| Relay::start(&redis, relay(number)));
    let (alice, bob) = (fp(1), fp(2));
    for (name, fp) in [("alice", &alice), ("bob", &bob)] {
        one.call(&names::bind(relay(1), name, fp, true));
    }
    let user = LetterUser { name: "bob", fp: &bob };
    let key = letter_key(7, START, START + 1000);
    let published = letters::letterbox(two.own, user, "text", &key, START);
    let answer = letters::letterbox_kept(&two.call(&published)).unwrap();
    assert_eq!(answer, LetterOutcome::Kept(Vec::new()));
    two.call(&claim(relay(2), "bob", 1, &bob, true));
    let from = LetterUser { name: "alice", fp: &alice };
    let letter = LetterToKeep {
        from,
        to: "bob",
        id: "an \"id\"",
        kind: LetterKind::Text,
        key_id: 7,
        kept: b"{\"letter\":\xff",
    };
    let keep = letters::keep(one.own, &letter, START, 1 << 30);
    for _ in 0..2 {
        assert_eq!(letters::kept(&one.call(&keep)), Ok(LetterOutcome::Kept(())));
    }
    let parcels = two.read().parcels;
    assert_eq!(
        (parcels.len(), parcels[0].kind, &*parcels[0].data),
        (1, ParcelKind::Letter, b"0 bob".as_slice())
    );
    let mut wanted = LettersWanted {
        owner: user,
        take: TakeMode::All,
        after: 0,
        letters: 16,
        bytes: 1000,
        acknowledged: &[],
    };
    let found =
        letters::delivered(&two.call(&letters::deliver(two.own, &wanted))).unwrap().unwrap();
    assert_eq!((found.letters, found.has_more), (vec![(1, letter.kept.to_vec())], false));
    wanted.acknowledged = &[1, 2];
    let found =
        letters::delivered(&two.call(&letters::deliver(two.own, &wanted))).unwrap().unwrap();
    assert_eq!((found.deleted, found.letters.len()), (1, 0));
    let left = redis.plain().ask(&["KEYS", "sealwax:[bcas][oe][xn]*"]);
    assert_eq!(left, Value::Array(Vec::new()), "box, content and sent are gone");
}

#[test]
fn what_belongs_to_a_released_name_is_deleted() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut one = Relay::start(&redis, relay(1));
    let own = one.own;
    let users = [("alice", fp(1)), ("bob", fp(2)), ("carol", fp(3))];
    let user = |number: usize| LetterUser { name: users[number].0, fp: &users[number].1 };
    for (number, (name, fp)) in users.iter().enumerate() {
        one.call(&names::bind(own, name, fp, true));
        let key = letter_key(7, START, START + 1000);
        one.call(&letters::letterbox(own, user(number), "text", &key, START));
    }
    let mut keep = |from: usize, to: usize| {
        let (kind, kept) = (LetterKind::Text, &b"a letter"[..]);
        let letter =
            LetterToKeep { from: user(from), to: users[to].0, id: "1", kind, key_id: 7, kept };
        let answer = one.call(&letters::keep(own, &letter, START, 1 << 30));
        assert_eq!(letters::kept(&answer), Ok(LetterOutcome::Kept(())));
    };
    keep(0, 1);
    keep(1, 0);
    keep(2, 1);
    assert_eq!(names::unbound(&one.call(&names::unbind(own, "alice"))), Ok(true));
    one.call(&names::bind(own, "alice", &fp(9), true));
    let mut waiting = |name: &str, fp: &Fingerprint| {
        let owner = LetterUser { name, fp };
        let (take, after, letters, bytes) = (TakeMode::All, 0, 16, 1000);
        let wanted = LettersWanted { owner, take, after, letters, bytes, acknowledged: &[] };
        let answer = one.call(&letters::deliver(own, &wanted));
        letters::delivered(&answer).unwrap().unwrap().letters.len()
    };
    assert_eq!(waiting("alice", &fp(9)), 0);
    assert_eq!(waiting("bob", &fp(2)), 1, "that of carol");
    let found = names::found(&one.call(&names::find(own, "alice", START))).unwrap();
    assert_eq!((found.pem, found.letter_key), (None, None));
    assert_eq!(redis.plain().ask(&["GET", "sealwax:letter-bytes"]).text(), Some("8"));
}
