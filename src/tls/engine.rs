//! One end of a TLS connection: ciphertext in, plaintext out, and back.
//!
//! `rustls` keeps four things and does not say how many bytes they hold:
//!
//! - the record that has begun: counted here, by the lengths in the headers of records;
//! - plaintext that was not taken: at most one record, since no other record is opened before;
//! - ciphertext that was not written: taken at once;
//! - parts of a handshake message that is not complete: bounded by [`MAX_HANDSHAKE`] during the
//!   handshake, and after it by counting records that bring no plaintext ([`MAX_SILENT`]).

use std::io::{self, IoSlice, Read, Write};

use rustls::Connection;

use super::Fault;
use super::limits::{MAX_HANDSHAKE, MAX_SILENT, RECORDS_A_TURN, SEALED_AT_ONCE};
use crate::reactor::{Garbled, Step, Transform};

/// The label of the exporter, with an empty context (RFC 9266, section 4).
const BINDING: &[u8] = b"EXPORTER-Channel-Binding";
/// Bytes in front of what a record has in it (RFC 8446, section 5.1).
const HEADER: usize = 5;
/// `rustls` lets its buffer for the record that has begun grow in steps of so many bytes, and keeps
/// one step while no record has begun.
const BUFFER: usize = 4 * 1024;

/// One end of a TLS connection.
pub struct Engine {
    connection: Connection,
    /// The record that has begun.
    record: Record,
    /// Bytes of plaintext that were opened and not taken.
    within: usize,
    /// Bytes that arrived before the handshake was over.
    handshake: usize,
    /// Bytes of records since the last one that brought plaintext. They may be parts of a handshake
    /// message, which `rustls` keeps until the message is complete.
    silent: usize,
    is_over: bool,
    has_failed: bool,
}

/// The part of a record that has arrived.
#[derive(Default)]
struct Record {
    header: [u8; HEADER],
    came: usize,
}

impl Record {
    /// Takes the part of `bytes`, the next ones on the wire, that belongs to this record. Returns
    /// how many bytes that are.
    fn take(&mut self, bytes: &[u8]) -> usize {
        for (to, from) in self.header.iter_mut().skip(self.came).zip(bytes) {
            *to = *from;
        }
        let missing =
            if self.came + bytes.len() < HEADER { HEADER } else { self.length() } - self.came;
        let taken = missing.min(bytes.len());
        self.came += taken;
        taken
    }

    fn length(&self) -> usize {
        HEADER + usize::from(u16::from_be_bytes([self.header[3], self.header[4]]))
    }

    fn has_header(&self) -> bool {
        self.came >= HEADER
    }

    fn is_whole(&self) -> bool {
        self.has_header() && self.came == self.length()
    }
}

/// A reader that never has anything to read.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Engine {
    pub(super) fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(SEALED_AT_ONCE));
        Self {
            connection,
            record: Record::default(),
            within: 0,
            handshake: 0,
            silent: 0,
            is_over: false,
            has_failed: false,
        }
    }

    /// Moves plaintext out of the connection into `plain`. Returns how many bytes.
    fn drain(&mut self, plain: &mut [u8]) -> usize {
        let mut filled = 0;
        while self.within > 0 && filled < plain.len() {
            match self.connection.reader().read(&mut plain[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    filled += read;
                    self.within = self.within.saturating_sub(read);
                }
            }
        }
        filled
    }

    /// Hands `bytes`, of one record, to the connection.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        // One call takes some KiB. It takes an empty slice for the end of the stream.
        while !bytes.is_empty() {
            let read = self.connection.read_tls(&mut bytes).map_err(|_| Fault::TooLong)?;
            if read == 0 {
                return Err(Fault::Misbehaved);
            }
        }
        Ok(())
    }

    /// How many bytes of records in a row may bring no plaintext. A client sends nothing but key
    /// updates in such records (27 bytes each); a server sends session tickets as well.
    fn most_silent(&self) -> usize {
        match self.connection {
            Connection::Server(_) => MAX_SILENT,
            Connection::Client(_) => MAX_HANDSHAKE,
        }
    }

    /// Lets the connection process what it was given: a header, or a whole record.
    fn process(&mut self) -> Result<(), Fault> {
        let state = self.connection.process_new_packets().map_err(|error| Fault::from(&error))?;
        self.within = state.plaintext_bytes_to_read();
        self.is_over = state.peer_has_closed();
        Ok(())
    }

    /// Opens records of `wire` until `plain` has no room for the plaintext of one. Returns how many
    /// bytes of `wire` it took, and how many bytes of `plain` it filled.
    fn records(&mut self, wire: &[u8], plain: &mut [u8]) -> Result<(usize, usize), Fault> {
        let (mut taken, mut filled, mut records) = (0, self.drain(plain), 0);
        while taken < wire.len() && self.within == 0 && records < RECORDS_A_TURN {
            if self.is_over {
                return Ok((wire.len(), filled)); // bytes after the end are dropped
            }
            let was_handshaking = self.connection.is_handshaking();
            let was_begun = self.record.came > 0;
            let came = self.record.take(&wire[taken..]);
            self.feed(&wire[taken..taken + came])?;
            taken += came;
            if was_handshaking {
                self.handshake += came;
                if self.handshake > MAX_HANDSHAKE {
                    return Err(Fault::TooLong);
                }
            }
            // A wrong header is an error at once, and not only when the whole record has arrived.
            if self.record.has_header() {
                self.process()?;
            }
            if self.record.is_whole() {
                records += 1;
                self.silent += self.record.length();
                if was_handshaking || self.within > 0 {
                    self.silent = 0;
                } else if self.silent > self.most_silent() {
                    return Err(Fault::TooLong);
                }
                let has_grown = was_begun || self.record.length() > BUFFER;
                self.record = Record::default();
                filled += self.drain(&mut plain[filled..]);
                if has_grown {
                    // `rustls` gives the memory beyond its usual buffer back in a read that finds
                    // nothing.
                    let _ = self.connection.read_tls(&mut Nothing);
                }
            }
        }
        Ok((taken, filled))
    }
}

impl Transform for Engine {
    fn open(&mut self, wire: &[u8], plain: &mut [u8]) -> Result<Step, Garbled> {
        let (taken, filled) = self.records(wire, plain).map_err(|fault| {
            self.has_failed = true;
            fault.garbled()
        })?;
        let partial = self.record.came.next_multiple_of(BUFFER);
        Ok(Step {
            taken,
            filled,
            has_more: self.within > 0,
            is_partial: self.record.came > 0,
            is_over: self.is_over && self.within == 0,
            wants_to_send: self.connection.wants_write(),
            memory: self.within + partial,
        })
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        if !self.connection.is_handshaking() && !self.has_failed {
            // It takes at most `SEALED_AT_ONCE` bytes.
            taken = self.connection.writer().write_vectored(plain).unwrap_or(0);
        }
        self.take_ciphertext(wire);
        taken
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if !self.has_failed {
            self.connection.send_close_notify();
        }
        self.take_ciphertext(wire);
    }

    fn binding(&self) -> Option<[u8; 32]> {
        self.connection.export_keying_material([0; 32], BINDING, Some(&[])).ok()
    }
}

impl Engine {
    fn take_ciphertext(&mut self, wire: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if !self.connection.write_tls(wire).is_ok_and(|written| written > 0) {
                break;
            }
        }
    }
}
