//! `sealwax keys`: whose keys are known and how far they are trusted.
//!
//! Works beside a running `chat` of the same identity: each change of the trust file is made under a lock of its own,
//! and the `chat` reads it again.

use std::io::{BufRead, IsTerminal, Write};
use std::rc::Rc;

use serde_json::json;

use super::cli::{Keys, KeysCommand};
use super::{Exit, Failure, Outcome, owner, trusted};
use crate::client::{FilePins, PeerPin, PinBook, PinFile, Pins, RelayPin, Trust};
use crate::crypto::safety_number;
use crate::home::Home;
use crate::wire::{Fingerprint, escape_visible};

/// `sealwax keys …`
pub(super) fn keys(arguments: &Keys) -> Outcome {
    let home = Rc::new(owner::open_home(&arguments.common.identity)?);
    let mut book =
        Book { pins: FilePins::new(home.clone(), owner::PEERS_FILE), json: arguments.common.json };
    match &arguments.command {
        KeysCommand::Show => {
            let (name, fp) = whose(&home, arguments)?;
            book.print(&json!({"name": name, "fp": fp.to_string()}), &format!("{name} {fp}"))
        }
        KeysCommand::List => book.list(),
        KeysCommand::Verify { peer, number } => {
            let me = whose(&home, arguments)?;
            book.verify(&me, peer, number.as_deref())
        }
        KeysCommand::Trust { peer, fingerprint } => book.trust(peer, fingerprint),
        // No name has a colon, and every address has.
        KeysCommand::Untrust { peer } if peer.contains(':') => book.untrust_relay(&home, peer),
        KeysCommand::Untrust { peer } => book.untrust(peer),
    }
}

/// The trust file, and how it is shown.
struct Book {
    pins: FilePins,
    json: bool,
}

impl Book {
    fn list(&mut self) -> Outcome {
        let file = self.read()?;
        for number in file.damaged() {
            eprintln!("* line {number} of the trust file is damaged: it is kept, and not obeyed");
        }
        for pin in file.iter() {
            let (name, trust) = (&pin.name, pin.trust.as_str());
            let fp = pin.fp.to_string();
            self.print(
                &json!({"name": name, "fp": fp, "trust": trust}),
                &format!("{name} {fp} {trust}"),
            )?;
        }
        Ok(Exit::Done)
    }

    fn verify(&mut self, me: &(String, Fingerprint), peer: &str, number: Option<&str>) -> Outcome {
        let pin = self.known(peer)?;
        let expected = safety_number(&me.0, &me.1, &pin.name, &pin.fp);
        let same = match number {
            Some(number) => trusted::same_digits(number, &expected),
            None => Self::ask(peer, &expected)?,
        };
        if !same {
            let message = format!(
                "{peer} is not verified: the numbers differ. Yours is {expected}. Somebody may stand between you"
            );
            return Err(Failure::new(Exit::NotTrusted, message));
        }
        let verified = PeerPin { trust: Trust::Verified, ..pin };
        self.change(|file| file.set(verified.clone()))?;
        self.done(&verified, &format!("{peer} is verified: {}", verified.fp))
    }

    fn trust(&mut self, peer: &str, fingerprint: &str) -> Outcome {
        let fp: Fingerprint = fingerprint.parse().map_err(|_| {
            Failure::new(Exit::Usage, format!("{fingerprint:?} is no fingerprint (SHA256:…)"))
        })?;
        owner::check_name(peer)?;
        let first_seen = super::talk::wall_clock();
        let pin = PeerPin { name: peer.to_owned(), fp, first_seen, trust: Trust::Tofu };
        self.change(|file| file.set(pin.clone()))?;
        self.done(&pin, &format!("{peer} has the key {fp} from now on; nobody has compared it yet"))
    }

    fn untrust(&mut self, peer: &str) -> Outcome {
        let pin = self.known(peer)?;
        self.change(|file| {
            file.remove(peer);
        })?;
        let removed = json!({"name": peer, "fp": pin.fp.to_string(), "trust": null});
        self.print(&removed, &format!("the key of {peer} is forgotten: {}", pin.fp))
    }

    /// Forgets the key of a relay; the next one at `address` is a first contact.
    fn untrust_relay(&self, home: &Rc<Home>, address: &str) -> Outcome {
        let file = Box::new(FilePins::new(home.clone(), owner::RELAYS_FILE));
        let removed = PinBook::<RelayPin>::new(file).change(|file| file.remove(address));
        if !removed.map_err(|why| Failure::new(Exit::Identity, why))? {
            let message = format!("no key of a relay at {address} is known");
            return Err(Failure::new(Exit::Failed, message));
        }
        let removed = json!({"relay": address, "trust": null});
        self.print(&removed, &format!("the key of the relay at {address} is forgotten"))
    }

    /// Shows the number and asks whether it is the same on the other side.
    fn ask(peer: &str, expected: &str) -> Result<bool, Failure> {
        let failed = |error| Failure::new(Exit::Failed, format!("standard input: {error}"));
        eprintln!(
            "You and {} must both see this number; read it to each other:",
            escape_visible(peer)
        );
        eprintln!("\n    {expected}\n");
        if !std::io::stdin().is_terminal() {
            let help = "to mark the key from a script: sealwax keys verify NAME NUMBER";
            return Err(Failure::new(Exit::NotTrusted, help));
        }
        eprint!("Is it the same? Type yes or no: ");
        std::io::stderr().flush().map_err(failed)?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
        Ok(answer.trim() == "yes")
    }

    fn known(&mut self, peer: &str) -> Result<PeerPin, Failure> {
        self.read()?.find(peer).cloned().ok_or_else(|| {
            Failure::new(
                Exit::UnknownRecipient,
                format!("no key of {peer} is known: nothing was ever sent"),
            )
        })
    }

    fn read(&mut self) -> Result<PinFile<PeerPin>, Failure> {
        let text = self.pins.news().map_err(|why| Failure::new(Exit::Identity, why))?;
        Ok(PinFile::parse(&text.unwrap_or_default()))
    }

    fn change(&mut self, mut edit: impl FnMut(&mut PinFile<PeerPin>)) -> Result<(), Failure> {
        let mut rewrite = |text: &[u8]| {
            let mut file = PinFile::parse(text);
            edit(&mut file);
            file.render()
        };
        self.pins.change(&mut rewrite).map_err(|why| Failure::new(Exit::Identity, why))
    }

    fn done(&self, pin: &PeerPin, sentence: &str) -> Outcome {
        let object =
            json!({"name": pin.name, "fp": pin.fp.to_string(), "trust": pin.trust.as_str()});
        self.print(&object, sentence)
    }

    /// One line on standard output, in the form that was asked for.
    fn print(&self, object: &serde_json::Value, sentence: &str) -> Outcome {
        let line = if self.json { object.to_string() } else { sentence.to_owned() };
        match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::new(Exit::Failed, format!("standard output: {error}"))),
        }
    }
}

/// Our name and fingerprint.
fn whose(home: &Home, arguments: &Keys) -> Result<(String, Fingerprint), Failure> {
    let identity = &arguments.common.identity;
    let passphrase = identity.passphrase_fd.map(owner::read_passphrase).transpose()?;
    let name = owner::name(home, identity.name.as_deref())?;
    let loaded = owner::load(home, passphrase.as_deref().map(Vec::as_slice))?;
    let missing =
        || Failure::new(Exit::Identity, "there is no key yet: chat, send and recv make one");
    Ok((name, loaded.ok_or_else(missing)?.public().fingerprint()))
}
