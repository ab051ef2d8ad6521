//! `sealwax letters`: what the user has left for others and nobody has confirmed yet.
//!
//! Works beside a running `chat`: both write to one database.

use std::io::Write;

use serde_json::json;

use super::cli::{Letters, LettersCommand};
use super::owner::{self, LETTERS_FILE, not_usable};
use super::view::ago;
use super::{Exit, Failure, Outcome, talk};
use crate::client::{FileLetters, LeftLetter, WaitingLetter};
use crate::home::Home;
use crate::wire::escape_visible;

/// `sealwax letters …`
pub(super) fn letters(arguments: &Letters) -> Outcome {
    let path = match &arguments.home {
        Some(path) => path.clone(),
        None => Home::default_path().map_err(not_usable)?,
    };
    let home = Home::open(path).map_err(not_usable)?;
    let mut book = if home.path(LETTERS_FILE).exists() {
        let relay = owner::relay(&home)?.map(|relay| relay.to_string());
        Some(FileLetters::open(&home, LETTERS_FILE, relay.as_deref()).map_err(unusable)?)
    } else {
        None // no client has run here
    };
    let waiting = match &mut book {
        Some(book) => book.left().map_err(unusable)?,
        None => Vec::new(),
    };
    match &arguments.command {
        LettersCommand::List => print(&waiting, arguments.json, "waits to be confirmed"),
        LettersCommand::Forget { which, .. } => {
            let is_it = |left: &LeftLetter| {
                let names =
                    |which: &String| left.letter.to == *which || mark(&left.letter) == *which;
                which.as_ref().is_none_or(names)
            };
            let (forgotten, _): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_it);
            if let Some(which) = which.as_ref().filter(|_| forgotten.is_empty()) {
                let which = escape_visible(which);
                let message =
                    format!("no letter to {which} waits; `sealwax letters list` names all");
                return Err(Failure::new(Exit::UnknownRecipient, message));
            }
            if let Some(book) = &mut book {
                book.forget(&forgotten).map_err(unusable)?;
            }
            print(&forgotten, arguments.json, "is not waited for any more")
        }
    }
}

/// What a letter is named by: the beginning of its random id. The `id` that its run of `send` or
/// `chat` gave it is that of others too.
fn mark(letter: &WaitingLetter) -> String {
    let [a, b, c, d, ..] = letter.mid;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

fn print(letters: &[LeftLetter], as_json: bool, what: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let now = talk::wall_clock();
    let first = letters.first().map(|left| &left.relay);
    let is_one_relay = letters.iter().all(|left| Some(&left.relay) == first);
    for LeftLetter { relay, letter, .. } in letters {
        let WaitingLetter { to, id, stored, .. } = letter;
        let mark = mark(letter);
        let line = if as_json {
            json!({"letter": mark, "to": to, "relay": relay, "id": id, "stored_at": stored})
                .to_string()
        } else {
            let at = if is_one_relay { String::new() } else { format!(" at {relay}") };
            let line = format!("{mark} to {to}{at}, left {}, {what}", ago(now, *stored));
            escape_visible(&line).into_owned()
        };
        writeln!(out, "{line}")
            .map_err(|error| Failure::new(Exit::Failed, format!("standard output: {error}")))?;
    }
    Ok(Exit::Done)
}

fn unusable(why: String) -> Failure {
    Failure::new(Exit::Identity, why)
}
