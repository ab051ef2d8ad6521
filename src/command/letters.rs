//! `sealwax letters`: what the user has left for others and nobody has confirmed yet, and what came
//! for the user and is held.
//!
//! Works beside a running `chat`: both write to one database.

use std::collections::BTreeSet;
use std::io::Write;
use std::rc::Rc;

use serde_json::json;

use super::cli::{Letters, LettersCommand, keys_command};
use super::owner::{self, LETTERS_FILE, PEERS_FILE, not_usable};
use super::view::{ago, span};
use super::{Exit, Failure, Outcome, talk};
use crate::client::{
    AtRelay, Caution, FileLetters, FilePins, ParkedLetter, PeerPin, PinBook, WaitingLetter,
    why_held,
};
use crate::crypto::Mid;
use crate::home::Home;
use crate::limits::LETTER_AGE;
use crate::wire::escape_visible;

/// `sealwax letters …`
pub(super) fn letters(arguments: &Letters) -> Outcome {
    let home = Rc::new(open_home(arguments)?);
    let mut book = if home.path(LETTERS_FILE).exists() {
        let relay = owner::relay(&home)?.map(|relay| relay.to_string());
        Some(FileLetters::open(&home, LETTERS_FILE, relay.as_deref()).map_err(unusable)?)
    } else {
        None // no client has run here
    };
    let (waiting, parked) = match &book {
        Some(book) => (book.left().map_err(unusable)?, book.held().map_err(unusable)?),
        None => (Vec::new(), Vec::new()),
    };
    let relays = waiting.iter().map(|it| &it.relay).chain(parked.iter().map(|it| &it.relay));
    let writer = Writer {
        json: arguments.json,
        keys: keys_command(arguments.home.as_deref()),
        now: talk::wall_clock(),
        names_relays: relays.collect::<BTreeSet<_>>().len() > 1,
    };
    match &arguments.command {
        LettersCommand::List => {
            if waiting.is_empty() && parked.is_empty() {
                eprintln!("* no letters");
            }
            let peers = peers(&home)?;
            let held = parked.iter().map(|held| {
                let why = why_held(peers.file(), &held.letter, true, writer.now);
                writer.held(held, why)
            });
            let waiting = waiting.iter().map(|it| writer.waiting(it, "waits to be confirmed"));
            print(waiting.chain(held))
        }
        LettersCommand::Forget { which, held, .. } => {
            let (waiting, parked) = chosen(waiting, parked, which.as_deref(), *held)?;
            if let Some(book) = &mut book {
                book.forget(&waiting, &parked).map_err(unusable)?;
            }
            let parked = parked.iter().map(|letter| writer.dropped(letter));
            let settled = "is not waited for any more";
            print(waiting.iter().map(|letter| writer.waiting(letter, settled)).chain(parked))
        }
    }
}

/// The home that the arguments name, or the default one. None is made: there would be no letters.
fn open_home(arguments: &Letters) -> Result<Home, Failure> {
    let path = match &arguments.home {
        Some(path) => path.clone(),
        None => Home::default_path().map_err(not_usable)?,
    };
    if path.try_exists().is_ok_and(|exists| !exists) {
        let path = path.display();
        return Err(unusable(format!("there is no '{path}': give your home with --home")));
    }
    Home::open(path).map_err(not_usable)
}

/// The keys of peers that are known.
fn peers(home: &Rc<Home>) -> Result<PinBook<PeerPin>, Failure> {
    let mut peers = PinBook::new(Box::new(FilePins::new(Rc::clone(home), PEERS_FILE)));
    peers.refresh().map_err(unusable)?;
    Ok(peers)
}

type Chosen = (Vec<AtRelay<WaitingLetter>>, Vec<AtRelay<ParkedLetter>>);

/// The letters that `which` names (a peer, or one letter; none: all): those that were left, or
/// those that are held.
fn chosen(
    waiting: Vec<AtRelay<WaitingLetter>>,
    parked: Vec<AtRelay<ParkedLetter>>,
    which: Option<&str>,
    held: bool,
) -> Result<Chosen, Failure> {
    let is_it = |is_meant: bool, peer: &str, mid: &Mid| {
        is_meant && which.is_none_or(|which| which == peer) || which == Some(mark(mid).as_str())
    };
    let has_held = parked.iter().any(|it| which == Some(it.letter.from.as_str()));
    let is_meant = |it: &AtRelay<WaitingLetter>| is_it(!held, &it.letter.to, &it.letter.mid);
    let waiting = waiting.into_iter().filter(is_meant);
    let is_meant = |it: &AtRelay<ParkedLetter>| is_it(held, &it.letter.from, &it.letter.mid);
    let parked = parked.into_iter().filter(is_meant);
    let chosen: Chosen = (waiting.collect(), parked.collect());
    match which.map(escape_visible) {
        Some(which) if chosen.0.is_empty() && chosen.1.is_empty() => {
            let message = match (held, has_held) {
                (true, _) => format!("no letter of {which} is held"),
                (false, true) => {
                    format!("no letter to {which} waits; --held drops those of {which} that came")
                }
                (false, false) => format!("no letter to {which} waits"),
            };
            let message = format!("{message}; `letters list` names all");
            Err(Failure::new(Exit::UnknownRecipient, message))
        }
        _ => Ok(chosen),
    }
}

/// What a letter is named by: the beginning of its random id. The `id` that its run of `send` or
/// `chat` gave it is that of others too.
fn mark(mid: &Mid) -> String {
    let [a, b, c, d, ..] = *mid;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// How letters are written.
struct Writer {
    json: bool,
    /// How the user calls `sealwax keys` for this home.
    keys: String,
    /// In milliseconds since 1970.
    now: u64,
    /// There are letters of several relays.
    names_relays: bool,
}

impl Writer {
    /// Where a letter is, if that has to be said.
    fn at(&self, relay: &str) -> String {
        if self.names_relays { format!(" at {relay}") } else { String::new() }
    }

    /// A letter that was left, and what about it.
    fn waiting(&self, left: &AtRelay<WaitingLetter>, what: &str) -> String {
        let AtRelay { relay, letter: WaitingLetter { to, id, mid, stored }, .. } = left;
        let mark = mark(mid);
        if self.json {
            let object =
                json!({"letter": mark, "to": to, "relay": relay, "id": id, "stored_at": stored});
            return object.to_string();
        }
        let at = self.at(relay);
        let line = format!("{mark} to {to}{at}, left {}, {what}", ago(self.now, *stored));
        escape_visible(&line).into_owned()
    }

    /// A letter that came and is held, until when, and why: `None` where only the run that takes it
    /// can tell.
    fn held(&self, held: &AtRelay<ParkedLetter>, why: Option<Caution>) -> String {
        let AtRelay { relay, letter, .. } = held;
        let ParkedLetter { from, fp, mid, .. } = letter;
        let (mark, keys) = (mark(mid), &self.keys);
        let written = letter.created_ms().unwrap_or_default();
        let until = written.saturating_add(u64::try_from(LETTER_AGE.as_millis()).unwrap_or(0));
        if self.json {
            let (fp, reason) = (fp.to_string(), why.map(Caution::as_str));
            let object = json!({"letter": mark, "from": from, "relay": relay, "fp": fp,
                                "written_at": written, "until": until, "reason": reason});
            return object.to_string();
        }
        let why = match why {
            Some(Caution::KeyChanged) => format!(
                "it is sealed under another key of {from} than the one that you know; if {from} \
                 says that it is right: `{keys} trust {from} {fp}`"
            ),
            Some(Caution::NotVerified) => format!(
                "the key of {from} was never compared; `{keys} verify {from}`, or a `recv` without \
                 --strict, shows it"
            ),
            Some(_) => format!("the clock of {from} was ahead of yours"),
            None => "the next `recv` or `chat` looks at it".to_owned(),
        };
        let (age, left) = (ago(self.now, written), span(self.now, until));
        let at = self.at(relay);
        let line = format!("{mark} of {from}{at}, written {age}, is held for {left} more: {why}");
        escape_visible(&line).into_owned()
    }

    /// A letter that was held and is dropped.
    fn dropped(&self, held: &AtRelay<ParkedLetter>) -> String {
        if self.json {
            return self.held(held, None);
        }
        let ParkedLetter { from, mid, .. } = &held.letter;
        escape_visible(&format!("{} of {from} is dropped, unread", mark(mid))).into_owned()
    }
}

fn print(lines: impl Iterator<Item = String>) -> Outcome {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")
            .map_err(|error| Failure::new(Exit::Failed, format!("standard output: {error}")))?;
    }
    Ok(Exit::Done)
}

fn unusable(why: String) -> Failure {
    Failure::new(Exit::Identity, why)
}
