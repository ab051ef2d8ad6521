//! What relays say to each other through the engine, and how a relay reads what is there for it.

use super::keys;
use super::limits::{
    ENTRY_BYTES, LAST_NUMBER, READ_AT_ONCE, READ_WAIT, READ_WAIT_COPYING, SCANNED_AT_ONCE,
};
use super::place::{Incarnation, Place};
use super::resp::Value;
use super::script::{Call, Script, WrongAnswer, outcome};

/// What an entry for another relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelKind {
    /// Frames for its users. Refused while too much waits.
    Frames,
    /// What became of frames that it sent. How many there can be is bounded by the frames.
    Answers,
    /// A connection of it has lost its name: session, a space and the name. Only scripts send it.
    Replaced,
    /// A letter came for a user of it: kind, a space and the name. Only scripts send it.
    Letter,
    /// A name was released. Only scripts send it.
    Released,
}

impl ParcelKind {
    const ALL: [Self; 5] =
        [Self::Frames, Self::Answers, Self::Replaced, Self::Letter, Self::Released];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Answers => "answers",
            Self::Replaced => "replaced",
            Self::Letter => "letter",
            Self::Released => "released",
        }
    }
}

/// Asks to append something to what waits for another relay.
pub fn forward(own: Incarnation, target: Incarnation, kind: ParcelKind, data: Vec<u8>) -> Call {
    let may_be_refused = if kind == ParcelKind::Frames { "1" } else { "0" };
    let (inbox, from) = (keys::inbox(target), own.to_string());
    let words = ["XADD", &inbox, "0-*", "kind", kind.as_str(), "from", &from, "data"];
    let bytes = entry_bytes(kind, &data);
    Call::new(Script::Forward, own)
        .keys([keys::lease(own), keys::lease(target), inbox.clone(), keys::flow(target)])
        .number(bytes)
        .arg(may_be_refused)
        .behind(words.map(Vec::from).into_iter().chain([data]).collect())
}

/// What an entry counts of what may wait for a relay.
fn entry_bytes(kind: ParcelKind, data: &[u8]) -> u64 {
    (kind.as_str().len() + data.len() + ENTRY_BYTES) as u64
}

/// What became of something for another relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAnswer {
    /// It waits for that relay.
    Queued,
    /// That relay has ended: its users are `unknown_user`.
    Gone,
    /// Too much waits for that relay: `queue_full`.
    Full,
    /// Our lease has ended.
    NoLease,
}

/// Reads the answer to [`forward`].
pub fn forwarded(answer: &Value) -> Result<ForwardAnswer, WrongAnswer> {
    Ok(match outcome(Script::Forward, answer)? {
        ("queued", []) => ForwardAnswer::Queued,
        ("gone", []) => ForwardAnswer::Gone,
        ("full", []) => ForwardAnswer::Full,
        ("no_lease", []) => ForwardAnswer::NoLease,
        _ => return Err(WrongAnswer(Script::Forward)),
    })
}

/// Deletes what this relay has read, up to the entry with this number; `bytes`: of all that was
/// read since this was asked for last ([`Parcel::bytes`]).
pub fn drain(own: Incarnation, read: u64, bytes: u64) -> Call {
    let keys = [keys::lease(own), keys::inbox(own), keys::flow(own)];
    Call::new(Script::Drain, own).keys(keys).number(read).number(bytes)
}

/// How many entries were deleted; `None` where our lease has ended.
pub fn drained(answer: &Value) -> Result<Option<u64>, WrongAnswer> {
    let wrong = WrongAnswer(Script::Drain);
    match outcome(Script::Drain, answer)? {
        ("drained", [entries]) => Ok(Some(entries.number().ok_or(wrong)?)),
        ("no_lease", []) => Ok(None),
        _ => Err(wrong),
    }
}

/// Deletes entries of one of both streams that no relay has written ([`Read::foreign`]). `read`:
/// the number of the last parcel that this relay has read.
pub fn sweep(own: Incarnation, stream: Stream, read: u64, ids: &[String]) -> Call {
    let keys = [keys::lease(own), stream.key(own), keys::flow(own)];
    let call = Call::new(Script::Sweep, own).keys(keys).number(read);
    ids.iter().fold(call, Call::arg)
}

/// Whether they were deleted; not where our lease has ended.
pub fn swept(answer: &Value) -> Result<bool, WrongAnswer> {
    match outcome(Script::Sweep, answer)? {
        ("swept", []) => Ok(true),
        ("no_lease", []) => Ok(false),
        _ => Err(WrongAnswer(Script::Sweep)),
    }
}

/// The command that waits for what comes behind these numbers: for this relay, and of who came and
/// went. Without the second number, which is for while the copy is being made, it reads the first
/// stream alone: what is passed over would come again at once.
pub fn read_streams(own: Incarnation, inbox: u64, changes: Option<u64>) -> Vec<Vec<u8>> {
    let wait = if changes.is_some() { READ_WAIT } else { READ_WAIT_COPYING };
    let wait = wait.as_millis().to_string();
    let words = ["XREAD", "COUNT", &READ_AT_ONCE.to_string(), "BLOCK", &wait, "STREAMS"];
    let keys = [keys::inbox(own), keys::CHANGES.to_owned()];
    let changes = changes.map(|number| format!("{number}-0"));
    let ids: Vec<_> = [Some(format!("0-{inbox}")), changes].into_iter().flatten().collect();
    let words = words.map(str::to_owned).into_iter().chain(keys.into_iter().take(ids.len()));
    words.chain(ids).map(String::into_bytes).collect()
}

/// Something that came from another relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its number, by which it is drained.
    pub number: u64,
    /// What it is.
    pub kind: ParcelKind,
    /// The relay that sent it.
    pub from: Incarnation,
    /// What it holds.
    pub data: Vec<u8>,
}

impl Parcel {
    /// What it counts of what may wait for a relay.
    pub fn bytes(&self) -> u64 {
        entry_bytes(self.kind, &self.data)
    }
}

/// Where a name is from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// One more than that of the change before, and by an epoch of its own.
    pub number: u64,
    /// In which life of the engine.
    pub epoch: String,
    /// The name.
    pub name: String,
    /// Where it is, if anywhere.
    pub place: Option<Place>,
}

/// One of the two streams that a relay reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// What waits for this relay.
    Inbox,
    /// Who came and went.
    Changes,
}

impl Stream {
    /// Its key in the engine, for this relay.
    pub fn key(self, own: Incarnation) -> String {
        match self {
            Self::Inbox => keys::inbox(own),
            Self::Changes => keys::CHANGES.to_owned(),
        }
    }
}

/// What both streams brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// In the order in which they were sent.
    pub parcels: Vec<Parcel>,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
    /// Ids of entries of another form: no relay has written them.
    pub foreign: Vec<(Stream, String)>,
}

/// Reads the answer to [`read_streams`]; `None` where it has another form.
pub fn read(own: Incarnation, answer: &Value) -> Option<Read> {
    let mut read = Read::default();
    if *answer == Value::Null {
        return Some(read); // nothing came in time
    }
    for (stream, entries) in answer.pairs()? {
        let stream = stream.text()?;
        for entry in entries.array()? {
            let (of, taken) = if stream == keys::CHANGES {
                (Stream::Changes, change(entry).map(|it| read.changes.push(it)))
            } else if stream == keys::inbox(own) {
                (Stream::Inbox, parcel(entry).map(|it| read.parcels.push(it)))
            } else {
                return None;
            };
            if taken.is_none() {
                read.foreign.push((of, entry.array()?.first()?.text()?.to_owned()));
            }
        }
    }
    Some(read)
}

/// The id of an entry, and the values of these fields, in this order.
fn fields<'a, const N: usize>(
    entry: &'a Value,
    names: [&str; N],
) -> Option<(&'a str, [&'a Value; N])> {
    let [id, fields] = entry.array()? else { return None };
    let mut values = [&Value::Null; N];
    let mut fields = fields.pairs()?;
    for (value, expected) in values.iter_mut().zip(names) {
        let (name, found) = fields.next()?;
        if name.text() != Some(expected) {
            return None;
        }
        *value = found;
    }
    fields.next().is_none().then_some((id.text()?, values))
}

fn parcel(entry: &Value) -> Option<Parcel> {
    let (id, [kind, from, data]) = fields(entry, ["kind", "from", "data"])?;
    let number = id.strip_prefix("0-")?.parse().ok().filter(|it| *it <= LAST_NUMBER)?;
    let kind = kind.text()?;
    let kind = ParcelKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let from = Incarnation::parse(from.text()?)?;
    Some(Parcel { number, kind, from, data: data.bytes()?.to_vec() })
}

fn change(entry: &Value) -> Option<Change> {
    let (id, [epoch, name, place]) = fields(entry, ["epoch", "name", "where"])?;
    let number = id.strip_suffix("-0")?.parse().ok()?;
    let (epoch, name) = (epoch.text()?.to_owned(), name.text()?.to_owned());
    let place = match place.text()? {
        "" => None,
        entry => Some(Place::parse(entry)?),
    };
    Some(Change { number, epoch, name, place })
}

/// The command that reads a part of who is where; the first part has the cursor 0.
pub fn scan(cursor: u64) -> Vec<Vec<u8>> {
    let words = ["HSCAN", keys::WHERE, &cursor.to_string(), "COUNT", &SCANNED_AT_ONCE.to_string()];
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}

/// Names and where they are; some may come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The cursor of the next part; 0 after the last.
    pub next: u64,
    /// The names of this part.
    pub names: Vec<(String, Place)>,
}

/// Reads the answer to [`scan`]; `None` where it has another form.
pub fn scanned(answer: &Value) -> Option<Page> {
    let [next, names] = answer.array()? else { return None };
    let name = |(name, place): (&Value, &Value)| {
        Some((name.text()?.to_owned(), Place::parse(place.text()?)?))
    };
    Some(Page { next: next.number()?, names: names.pairs()?.map(name).collect::<Option<_>>()? })
}
