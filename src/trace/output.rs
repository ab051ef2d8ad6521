//! Where a trace is written, and what happens when it cannot be.
//!
//! Knows bytes. They do not go through the loop like all other output, because writing one tick
//! would cause the next.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use crate::limits::{TRACE_PATIENCE, TRACE_QUEUE};

/// An output that takes bytes and never waits for long.
pub trait Taker {
    /// Takes what it can of `bytes`, and may wait for `patience` in all. Tells how many it took,
    /// and what went wrong for good.
    fn take(&mut self, bytes: &[u8], patience: Duration) -> (usize, Result<()>);
}

/// A file, which is written at once; a pipe that was opened so that it does not block takes what it
/// has room for.
impl Taker for File {
    fn take(&mut self, bytes: &[u8], _patience: Duration) -> (usize, Result<()>) {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.write(&bytes[taken..]) {
                Ok(more) => taken += more,
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EINTR) => {}
                    Some(Errno::EAGAIN) => break,
                    errno => return (taken, Err(errno.unwrap_or(Errno::EIO))),
                },
            }
        }
        (taken, Ok(()))
    }
}

/// An output, and the bytes that wait for it.
pub(super) struct Output {
    taker: Box<dyn Taker + Send>,
    queue: Vec<u8>,
    /// How many ticks were not queued.
    missing: u64,
    /// Makes the line that tells such a count.
    tell_missing: fn(u64) -> String,
    /// Whether it took something when it was last waited for.
    is_patient: bool,
}

impl Output {
    pub(super) fn new(taker: Box<dyn Taker + Send>, tell_missing: fn(u64) -> String) -> Self {
        Self { taker, queue: Vec::new(), missing: 0, tell_missing, is_patient: true }
    }

    /// Writes the lines of one tick behind what waits already, whole or not at all.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<()> {
        self.flush()?;
        if !self.queue.is_empty() && self.queue.len() + lines.len() > TRACE_QUEUE {
            self.missing += 1;
            return Ok(());
        }
        if self.missing > 0 {
            self.queue.extend((self.tell_missing)(std::mem::take(&mut self.missing)).bytes());
        }
        self.queue.extend_from_slice(lines);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let patience = if self.is_patient { TRACE_PATIENCE } else { Duration::ZERO };
        let (taken, outcome) = self.taker.take(&self.queue, patience);
        self.queue.drain(..taken);
        self.is_patient = taken > 0;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes so many bytes more, and notes for how long it might have waited.
    #[derive(Clone, Default)]
    struct Reader(Arc<Mutex<(usize, Vec<u8>, Duration)>>);

    impl Taker for Reader {
        fn take(&mut self, bytes: &[u8], patience: Duration) -> (usize, Result<()>) {
            let (room, read, waited) = &mut *self.0.lock().unwrap();
            let taken = bytes.len().min(*room);
            *room -= taken;
            read.extend_from_slice(&bytes[..taken]);
            if taken < bytes.len() {
                *waited += patience;
            }
            (taken, Ok(()))
        }
    }

    fn output(reader: &Reader) -> Output {
        Output::new(Box::new(reader.clone()), |ticks| format!("{ticks} missing\n"))
    }

    #[test]
    fn who_does_not_read_is_waited_for_once_and_told_what_is_missing() {
        let reader = Reader::default();
        let mut output = output(&reader);
        let lines = vec![b'x'; TRACE_QUEUE / 4];
        for _ in 0..10 {
            output.write(&lines).unwrap();
        }
        assert_eq!(reader.0.lock().unwrap().2, TRACE_PATIENCE, "once, and not ten times");
        reader.0.lock().unwrap().0 = usize::MAX;
        output.write(b"the next\n").unwrap();
        let read = reader.0.lock().unwrap().1.clone();
        let (ticks, rest) = read.split_at(4 * lines.len());
        assert!(ticks.iter().all(|&byte| byte == b'x'));
        assert_eq!(rest, b"6 missing\nthe next\n");
    }

    #[test]
    fn who_reads_again_is_waited_for_again_and_no_line_is_torn() {
        let reader = Reader::default();
        let mut output = output(&reader);
        reader.0.lock().unwrap().0 = 3;
        output.write(b"first\n").unwrap();
        reader.0.lock().unwrap().0 = 100;
        output.write(b"second\n").unwrap();
        let (_, read, waited) = &*reader.0.lock().unwrap();
        assert_eq!((read.as_slice(), *waited), (&b"first\nsecond\n"[..], TRACE_PATIENCE));
    }
}
