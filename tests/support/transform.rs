//! A transform that costs nothing: it has the shape of TLS (records, a hello each way, a goodbye)
//! and hides nothing. For the loop the two are the same, and a simulation can afford this one.
#![allow(clippy::unwrap_used)]

use std::io::IoSlice;

use sealwax::reactor::{Garbled, Step, Transform};
use sealwax::tls::{ClientTls, ServerTls};

/// The kinds of records, by their first byte, as in TLS.
const GOODBYE: u8 = 0x15;
const HELLO: u8 = 0x16;
const DATA: u8 = 0x17;
/// Bytes in front of what a record has in it: the kind, a version, the length.
const HEADER: usize = 5;
/// The longest that one record holds.
pub const RECORD: usize = 16 * 1024;
/// The body of a first record: a hello without anything in it.
const GREETING: [u8; 4] = [1, 0, 0, 0];
/// What hides the plaintext from whoever looks for it.
const MASK: u8 = 0x5a;

/// This is no record.
pub const NO_RECORD: Garbled = Garbled(1);

/// An end of it.
#[derive(Default)]
pub struct Fake {
    is_client: bool,
    has_greeted: bool,
    is_greeted: bool,
    is_over: bool,
    has_failed: bool,
    /// The record that has begun.
    partial: Vec<u8>,
    /// What was opened and not asked for.
    within: Vec<u8>,
    /// How many records it takes in one call; none: all.
    records: Option<usize>,
}

impl Fake {
    /// The end that accepts, or the one that connects and speaks first.
    pub fn new(is_client: bool) -> Self {
        Self { is_client, ..Self::default() }
    }

    /// The end that accepts, and takes so many records in one call (none: all).
    pub fn taking(records: Option<usize>) -> Self {
        Self { records, ..Self::default() }
    }

    /// How many bytes of the record that has begun are missing.
    fn missing(&self) -> Result<usize, Garbled> {
        let [kind, major, minor, high, low, ..] = self.partial[..] else {
            return Ok(HEADER - self.partial.len());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(GOODBYE..=DATA).contains(&kind) || (major, minor) != (3, 3) || length > RECORD {
            return Err(NO_RECORD);
        }
        Ok(HEADER + length - self.partial.len())
    }

    fn end_record(&mut self) -> Result<(), Garbled> {
        let record = std::mem::take(&mut self.partial);
        match (record[0], self.is_greeted) {
            (HELLO, false) if record[HEADER..] == GREETING => self.is_greeted = true,
            (DATA, true) => self.within.extend(record[HEADER..].iter().map(|byte| byte ^ MASK)),
            (GOODBYE, _) => self.is_over = true,
            _ => return Err(NO_RECORD),
        }
        Ok(())
    }

    /// Takes what is within, as far as there is room; tells how much.
    fn drain(&mut self, plain: &mut [u8]) -> usize {
        let filled = self.within.len().min(plain.len());
        plain[..filled].copy_from_slice(&self.within[..filled]);
        self.within.drain(..filled);
        filled
    }

    fn wants_to_greet(&self) -> bool {
        !self.has_greeted && (self.is_client || self.is_greeted)
    }
}

fn put(kind: u8, body: impl ExactSizeIterator<Item = u8>, wire: &mut Vec<u8>) {
    wire.extend([kind, 3, 3]);
    wire.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    wire.extend(body);
}

impl Transform for Fake {
    fn open(&mut self, wire: &[u8], plain: &mut [u8]) -> Result<Step, Garbled> {
        assert!(!self.has_failed, "it was asked again after an error");
        let (mut taken, mut records, mut filled) = (0, 0, self.drain(plain));
        while self.within.is_empty() && !self.is_over && self.records.is_none_or(|n| records < n) {
            let missing = self.missing().inspect_err(|_| self.has_failed = true)?;
            let more = missing.min(wire.len() - taken);
            self.partial.extend_from_slice(&wire[taken..taken + more]);
            taken += more;
            if missing > more {
                break;
            }
            if self.partial.len() >= HEADER && self.missing()? == 0 {
                self.end_record().inspect_err(|_| self.has_failed = true)?;
                filled += self.drain(&mut plain[filled..]);
                records += 1;
            }
        }
        if self.is_over {
            taken = wire.len();
        }
        Ok(Step {
            taken,
            filled,
            has_more: !self.within.is_empty(),
            is_partial: !self.partial.is_empty(),
            is_over: self.is_over && self.within.is_empty(),
            wants_to_send: self.wants_to_greet(),
            memory: self.within.len() + self.partial.len(),
        })
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> usize {
        if self.wants_to_greet() {
            self.has_greeted = true;
            put(HELLO, GREETING.into_iter(), wire);
        }
        if self.has_failed || !(self.has_greeted && self.is_greeted) {
            return 0;
        }
        let all: Vec<u8> = plain.iter().flat_map(|slice| slice.to_vec()).collect();
        let all = &all[..all.len().min(4 * RECORD)];
        for part in all.chunks(RECORD) {
            put(DATA, part.iter().map(|byte| byte ^ MASK), wire);
        }
        all.len()
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        put(GOODBYE, [].into_iter(), wire);
    }

    fn binding(&self) -> Option<[u8; 32]> {
        (self.has_greeted && self.is_greeted).then_some([MASK; 32])
    }
}

/// The relay's end of TLS, for runs that are to be played again. Its certificate is always the
/// same, and signatures with this kind of key (Ed25519) have one length. So what the two ends send
/// has the same number of bytes in each run, and only the bytes differ.
pub fn server_tls() -> ServerTls {
    let (certificate, key) =
        (include_bytes!("../data/tls-cert.pem"), include_bytes!("../data/tls-key.pem"));
    ServerTls::from_pem(certificate, key).unwrap()
}

/// The other end of a connection that has a [`Transform`], for a test that holds the socket itself.
pub struct Tunnel {
    pub engine: Box<dyn Transform>,
    wire: Vec<u8>,
    /// What has come through it.
    pub plain: Vec<u8>,
    /// The other end has said that it will send no more.
    pub is_over: bool,
}

impl Tunnel {
    pub fn new(engine: Box<dyn Transform>) -> Self {
        Self { engine, wire: Vec::new(), plain: Vec::new(), is_over: false }
    }

    /// The end that connects of a [`Fake`].
    pub fn fake() -> Self {
        Self::new(Box::new(Fake::new(true)))
    }

    /// The end that connects of TLS, as our clients speak it to a relay.
    pub fn tls() -> Self {
        Self::new(ClientTls::bound().unwrap().engine().unwrap())
    }

    /// Seals what TLS takes of `said`, and what TLS has to say itself. Returns what it took.
    pub fn seal_all(&mut self, said: &mut Vec<u8>, wire: &mut Vec<u8>) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (records, taken) = self.seal(said);
            wire.extend(records);
            all.extend(said.drain(..taken));
            if taken == 0 {
                return all;
            }
        }
    }

    /// What is to be written so that `plain` arrives, as far as the engine takes it, and what it
    /// has to say itself.
    pub fn seal(&mut self, plain: &[u8]) -> (Vec<u8>, usize) {
        let mut wire = Vec::new();
        let taken = self.engine.seal(&[IoSlice::new(plain)], &mut wire);
        (wire, taken)
    }

    /// The goodbye.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        self.engine.finish(&mut wire);
        wire
    }

    /// `wire` has come.
    pub fn open(&mut self, wire: &[u8]) -> Result<(), Garbled> {
        self.wire.extend_from_slice(wire);
        loop {
            let mut plain = vec![0; RECORD];
            let step = self.engine.open(&self.wire, &mut plain)?;
            self.wire.drain(..step.taken);
            self.plain.extend_from_slice(&plain[..step.filled]);
            self.is_over |= step.is_over;
            if !step.has_more && (self.wire.is_empty() || step.taken == 0) {
                return Ok(());
            }
        }
    }
}
