//! `sealwax keys`: the user's own key, the keys of peers, and how far they are trusted.
//!
//! Works beside a running `chat` of the same identity: each change of a file of pins is made under
//! a lock of its own, and the `chat` reads it again.

use std::io::{BufRead, IsTerminal, Write};
use std::rc::Rc;

use serde_json::{Value, json};

use super::cli::{IdentityArgs, Keys, KeysCommand};
use super::identity_file::{self, IdentityFile};
use super::passphrase::{self, Passphrase};
use super::{Exit, Failure, Outcome, owner, qr, trusted};
use crate::address::{Address, canonical};
use crate::client::{
    FilePins, Mark, PeerPin, Pin, PinBook, PinFile, RelayFingerprint, RelayPin, Trust,
};
use crate::crypto::safety_number;
use crate::home::Home;
use crate::limits::DEFAULT_RELAY;
use crate::wire::{Fingerprint, escape_visible};

/// `sealwax keys …`
pub(super) fn keys(arguments: &Keys) -> Outcome {
    let identity = &arguments.common.identity;
    // Before anything is opened: see `from_descriptor`.
    let passphrase = identity.passphrase_fd.map(passphrase::from_descriptor).transpose()?;
    let new = match arguments.command {
        KeysCommand::Passphrase { new_passphrase_fd: Some(number), .. } => {
            Some(passphrase::from_descriptor(number)?)
        }
        _ => None,
    };
    let ring = Keyring {
        home: Rc::new(owner::open_home(identity)?),
        arguments: identity,
        passphrase,
        json: arguments.common.json,
    };
    match &arguments.command {
        KeysCommand::Show => ring.show(),
        KeysCommand::List => ring.list(),
        KeysCommand::Rename { name } => ring.rename(name),
        KeysCommand::Relay { relay } => ring.relay(relay.as_ref()),
        KeysCommand::Verify { peer, number } => ring.verify(peer, number.as_deref()),
        KeysCommand::Trust { peer, fingerprint } => ring.trust(peer, fingerprint),
        // A name never holds a colon, an address always does.
        KeysCommand::Untrust { whose } if whose.contains(':') => ring.untrust_relay(whose),
        KeysCommand::Untrust { whose } => ring.untrust(whose),
        KeysCommand::Passphrase { remove, .. } => ring.reseal(new, *remove),
    }
}

/// All keys of one home, and how they are shown.
struct Keyring<'a> {
    home: Rc<Home>,
    /// Our name, where it was given, and how the home is called.
    arguments: &'a IdentityArgs,
    /// Of our own key, where it was given.
    passphrase: Option<Passphrase>,
    json: bool,
}

impl Keyring<'_> {
    fn show(&self) -> Outcome {
        let (name, fp) = self.me()?;
        self.print(&json!({"name": name, "fp": fp.to_string()}), &format!("{name} {fp}"))
    }

    fn rename(&self, new: &str) -> Outcome {
        let old = owner::rename(&self.home, new)?;
        let keys = self.arguments.keys_command();
        let recv = keys.replacen("sealwax keys", "sealwax recv", 1); // the same home
        let said = match &old {
            Some(old) if old == new => format!("you are {new}, as before"),
            Some(old) => format!(
                "you are {new} from now on, and were {old}: a relay that has bound {old} to your \
                 key keeps it so. Letters that wait there for {old} are lost, unless you take the \
                 name again within a day: `{keys} rename {old}`, `{recv} --wait 0`"
            ),
            None => format!("you are {new}"),
        };
        self.print(&json!({"name": new, "was": old}), &said)
    }

    fn relay(&self, new: Option<&Address>) -> Outcome {
        let old = owner::relay(&self.home)?.map(|relay| relay.to_string());
        let Some(new) = new else {
            let relay = old.unwrap_or_else(|| DEFAULT_RELAY.to_owned());
            return self.print(&json!({"relay": relay}), &relay);
        };
        owner::change_relay(&self.home, new)?;
        let said = format!("{new} is your relay from now on");
        self.print(&json!({"relay": new.to_string(), "was": old}), &said)
    }

    fn list(&self) -> Outcome {
        let (peers, relays, marks) = (self.peers()?, self.relays()?, self.marks()?);
        self.name_damaged_lines(owner::PEERS_FILE, &peers);
        self.name_damaged_lines(owner::RELAYS_FILE, &relays);
        self.name_damaged_lines(owner::MARKS_FILE, &marks);
        for PeerPin { name, fp, trust, .. } in peers.file().iter() {
            self.print(
                &peer_object(name, fp, Some(*trust)),
                &format!("{name} {fp} {}", trust.as_str()),
            )?;
        }
        for pin in relays.file().iter() {
            let RelayPin { address, key } = pin;
            self.print(&relay_object(address, Some(*key)), &format!("{address} {key}"))?;
        }
        Ok(Exit::Done)
    }

    fn verify(&self, peer: &str, number: Option<&str>) -> Outcome {
        let (name, own) = self.me()?;
        let mut peers = self.peers()?;
        let PeerPin { fp, .. } = *known(&peers, peer)?;
        let expected = safety_number(&name, &own, peer, &fp);
        match number {
            Some(number) if !trusted::same_digits(number, &expected) => {
                return Err(Failure::new(Exit::NotTrusted, trusted::differs(peer, &expected)));
            }
            Some(_) => {}
            None => ask(peer, &expected)?,
        }
        if !peers.change(|file| file.mark_verified(peer, fp)).map_err(unreadable)? {
            let message = format!("the key of {peer} was changed meanwhile: nothing is marked");
            return Err(Failure::new(Exit::NotTrusted, message));
        }
        self.print(&peer_object(peer, &fp, Some(Trust::Verified)), &trusted::verified(peer, &fp))
    }

    fn trust(&self, peer: &str, fingerprint: &str) -> Outcome {
        let fp: Fingerprint = fingerprint.parse().map_err(|_| {
            Failure::new(Exit::Usage, format!("{fingerprint:?} is no fingerprint (SHA256:…)"))
        })?;
        owner::check_name(peer)?;
        let now = super::talk::wall_clock();
        let accept = |file: &mut PinFile<PeerPin>| {
            file.accept(peer, fp, now);
            file.find(peer).map(|pin| pin.trust)
        };
        self.forget_kem(&fp)?;
        let trust = self.peers()?.change(accept).map_err(unreadable)?;
        let said = match trust {
            Some(Trust::Verified) => trusted::verified(peer, &fp), // it was before, and stays so
            _ => trusted::accepted(peer, &fp),
        };
        self.print(&peer_object(peer, &fp, trust), &said)
    }

    fn untrust(&self, peer: &str) -> Outcome {
        let mut peers = self.peers()?;
        let fp = known(&peers, peer)?.fp;
        self.forget_kem(&fp)?;
        peers.change(|file| file.remove(peer)).map_err(unreadable)?;
        self.print(&peer_object(peer, &fp, None), &format!("the key of {peer} is forgotten: {fp}"))
    }

    /// Forgets that the owner of this key has had an ML-KEM key: whoever accepts the key again
    /// knows why its owner has none.
    fn forget_kem(&self, fp: &Fingerprint) -> Result<(), Failure> {
        let mut marks = self.marks()?;
        if marks.file().find(&fp.to_string()).is_some() {
            marks.change(|file| file.remove(&fp.to_string())).map_err(unreadable)?;
        }
        Ok(())
    }

    fn untrust_relay(&self, address: &str) -> Outcome {
        let address = &canonical(address);
        let (mut relays, mut marks) = (self.relays()?, self.marks()?);
        let key = relays.file().find(address).map(|pin| pin.key);
        // That it speaks TLS first: a relay without a key is met anew, and with TLS.
        let was_marked = marks.file().find(address).is_some();
        if was_marked {
            marks.change(|file| file.remove(address)).map_err(unreadable)?;
        }
        let said = match key {
            Some(key) => format!("the key of the relay {address} is forgotten: {key}"),
            None if was_marked => {
                format!("that the relay {address} speaks TLS is forgotten; no key of it was known")
            }
            None => {
                let address = escape_visible(address);
                let message =
                    format!("no key of a relay {address} is known; `sealwax keys list` names all");
                return Err(Failure::new(Exit::UnknownRecipient, message));
            }
        };
        if key.is_some() {
            relays.change(|file| file.remove(address)).map_err(unreadable)?;
        }
        self.print(&relay_object(address, key), &said)
    }

    /// Encrypts our own key with the passphrase `new`, with none, or with one that is asked for.
    fn reseal(&self, new: Option<Passphrase>, remove: bool) -> Outcome {
        let identity = self.own_file()?.open(self.passphrase.as_ref())?;
        let new = match new {
            None if !remove => Some(passphrase::ask_for_new()?),
            given => given,
        };
        identity_file::reseal(&self.home, &identity, new.as_ref())?;
        let fp = identity.public().fingerprint();
        let said = match &new {
            Some(_) => format!(
                "your key {fp} opens with the new passphrase only; older copies stay as they are"
            ),
            None => format!("your key {fp} has no passphrase"),
        };
        self.print(&json!({"fp": fp.to_string(), "encrypted": new.is_some()}), &said)
    }

    /// Our name and fingerprint.
    fn me(&self) -> Result<(String, Fingerprint), Failure> {
        let name = owner::name(&self.home, self.arguments)?;
        Ok((name, self.own_file()?.fingerprint(self.passphrase.as_ref())?))
    }

    fn own_file(&self) -> Result<IdentityFile, Failure> {
        IdentityFile::read(&self.home)?.ok_or_else(|| {
            Failure::new(Exit::Identity, "there is no key yet: chat, send and recv make one")
        })
    }

    fn peers(&self) -> Result<PinBook<PeerPin>, Failure> {
        self.book(owner::PEERS_FILE)
    }

    fn relays(&self) -> Result<PinBook<RelayPin>, Failure> {
        self.book(owner::RELAYS_FILE)
    }

    fn marks(&self) -> Result<PinBook<Mark>, Failure> {
        self.book(owner::MARKS_FILE)
    }

    fn book<P: Pin>(&self, name: &'static str) -> Result<PinBook<P>, Failure> {
        let mut book = PinBook::new(Box::new(FilePins::new(self.home.clone(), name)));
        book.refresh().map_err(unreadable)?;
        Ok(book)
    }

    fn name_damaged_lines<P: Pin>(&self, file: &str, book: &PinBook<P>) {
        let path = self.home.path(file);
        for number in book.file().damaged() {
            let path = path.display();
            eprintln!("* {path}: line {number} is damaged: it is kept, and ignored");
        }
    }

    /// Prints one line to standard output, in the form that was asked for.
    fn print(&self, object: &Value, sentence: &str) -> Outcome {
        let line =
            if self.json { object.to_string() } else { escape_visible(sentence).into_owned() };
        match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::new(Exit::Failed, format!("standard output: {error}"))),
        }
    }
}

fn known<'a>(peers: &'a PinBook<PeerPin>, peer: &str) -> Result<&'a PeerPin, Failure> {
    let unknown = || Failure::new(Exit::UnknownRecipient, trusted::unknown(&escape_visible(peer)));
    peers.file().find(peer).ok_or_else(unknown)
}

/// Shows the number and asks whether it is the same on the other side; an error where it is not.
fn ask(peer: &str, expected: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Failed, format!("standard input: {error}"));
    eprintln!("{}", trusted::to_compare(peer, expected));
    if std::io::stderr().is_terminal()
        && let Some(code) = qr::lines(expected, !super::is_without_colours())
    {
        eprintln!("{code}");
    }
    if !std::io::stdin().is_terminal() {
        let help = "to mark the key from a script: sealwax keys verify NAME NUMBER";
        return Err(Failure::new(Exit::NotTrusted, help));
    }
    eprint!("Is it the same? Type yes or no: ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    let message =
        format!("{peer} is not verified. Where the numbers differ, somebody may stand between you");
    Err(Failure::new(Exit::NotTrusted, message))
}

/// A peer's key as `--json` tells it; without trust: it is not pinned any more.
fn peer_object(name: &str, fp: &Fingerprint, trust: Option<Trust>) -> Value {
    json!({"name": name, "fp": fp.to_string(), "trust": trust.map(Trust::as_str)})
}

/// A relay as `--json` tells it; without a key: none was known.
fn relay_object(address: &str, key: Option<RelayFingerprint>) -> Value {
    json!({"relay": address, "key": key.map(|key| key.to_string())})
}

/// A file of pins cannot be used.
fn unreadable(why: String) -> Failure {
    Failure::new(Exit::Identity, why)
}
