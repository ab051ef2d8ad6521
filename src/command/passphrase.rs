//! A passphrase: from a descriptor that a script names, or from the person at the terminal.
//!
//! Never from the arguments or the environment, which other processes can see. It is read byte by
//! byte: what follows its line may be meant for another reader, and a buffer would keep a copy.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use nix::sys::termios::{tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Exit, Failure};
use crate::limits::{MAX_PASSPHRASE, PASSPHRASE_WAIT};
use crate::reactor::{inherited, not_ignored};

/// Its bytes, without the end of its line.
pub(super) type Passphrase = Zeroizing<Vec<u8>>;

/// The passphrase on descriptor `number`: its next line, or what it has up to its end.
///
/// To be called before we open anything ourselves: a descriptor that was never given to us has no
/// passphrase, and its number must not be that of a file of ours by then.
pub(super) fn from_descriptor(number: i32) -> Result<Passphrase, Failure> {
    let bounded = |fd| Bounded { file: File::from(fd), until: Instant::now() + PASSPHRASE_WAIT };
    let line = inherited(number).map_err(io::Error::from).and_then(|fd| line(bounded(fd)));
    accept(line, |why| format!("no passphrase on descriptor {number}: {why}"))
}

/// Whether there is a person to ask: where standard error is not seen, a question is not seen
/// either.
pub(super) fn can_ask() -> bool {
    io::stderr().is_terminal()
}

/// Asks at the terminal of this process, wherever its standard streams lead, without showing what
/// is typed.
pub(super) fn ask(question: &str) -> Result<Passphrase, Failure> {
    accept(Terminal::open().and_then(|mut terminal| terminal.ask(question)), |why| {
        format!("no passphrase from the terminal: {why}")
    })
}

/// Asks for a new one twice, since what is typed is not shown.
pub(super) fn ask_for_new() -> Result<Passphrase, Failure> {
    if !can_ask() {
        let help = "no new passphrase: give it with --new-passphrase-fd N, or --remove the old one";
        return Err(Failure::new(Exit::Identity, help));
    }
    let first = ask("New passphrase: ")?;
    if *first != *ask("The same again: ")? {
        return Err(Failure::new(Exit::Identity, "the two differ: nothing was changed"));
    }
    Ok(first)
}

fn accept(
    line: io::Result<Passphrase>,
    tell: impl Fn(&dyn Display) -> String,
) -> Result<Passphrase, Failure> {
    let failed = |why: &dyn Display| Err(Failure::new(Exit::Identity, tell(why)));
    match line {
        Err(error) => failed(&error),
        Ok(line) if line.is_empty() => failed(&"it is empty"),
        Ok(line) if line.len() > MAX_PASSPHRASE => {
            failed(&format!("it is longer than {MAX_PASSPHRASE} bytes"))
        }
        Ok(line) => Ok(line),
    }
}

/// The bytes up to a line's end or the end of all; at most one more than a passphrase may have.
fn line(mut from: impl Read) -> io::Result<Passphrase> {
    // Room for all from the start: a vector that grows leaves copies of a secret behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 1));
    let mut byte = Zeroizing::new([0]);
    while line.len() <= MAX_PASSPHRASE && from.read(&mut *byte)? > 0 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(line)
}

/// A file that is read until an instant, and not longer.
struct Bounded {
    file: File,
    until: Instant,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => {
                    let why = format!("none came within {} s", PASSPHRASE_WAIT.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Ok(_) => return self.file.read(into),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The controlling terminal (`tty(4)`), which shows nothing of what is typed until this is dropped.
struct Terminal {
    file: File,
    before: Termios,
    signals: Held,
}

/// Signals that would end us wait until this is dropped: the terminal has to be put back first.
struct Held {
    arrived: SignalFd,
    before: SigSet,
}

/// The signals with which others end us.
const ENDINGS: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

impl Held {
    fn new() -> nix::Result<Self> {
        let (before, held) = (SigSet::thread_get_mask()?, not_ignored(ENDINGS));
        let arrived = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC)?;
        held.thread_block()?;
        Ok(Self { arrived, before })
    }
}

impl Drop for Held {
    /// A signal that came meanwhile was only looked at, so now it does what it was sent for.
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

/// The character that Ctrl-C gives with [`LocalFlags::ISIG`] off.
const INTERRUPT: u8 = 3;

impl Terminal {
    /// Ctrl-C must not end us while nothing is shown, for the shell would go on like that. So it
    /// sends no signal (getpass(3) does the same) but ends the line (`VEOL`, termios(3)), which is
    /// then refused.
    fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let signals = Held::new()?;
        let before = tcgetattr(&file)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        silent.local_flags.insert(LocalFlags::ICANON);
        silent.control_chars[SpecialCharacterIndices::VEOL as usize] = INTERRUPT;
        tcsetattr(&file, SetArg::TCSAFLUSH, &silent)?; // what was typed before is no answer
        Ok(Self { file, before, signals })
    }

    fn ask(&mut self, question: &str) -> io::Result<Passphrase> {
        self.file.write_all(question.as_bytes())?;
        let answer = line(InterruptEnds(self));
        self.file.write_all(b"\n")?; // the end of the line was not shown either
        answer
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.file, SetArg::TCSAFLUSH, &self.before);
    }
}

/// A terminal where Ctrl-C is an error, and a signal too.
struct InterruptEnds<'a>(&'a Terminal);

impl Read for InterruptEnds<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Terminal { file, signals, .. } = self.0;
        let ready = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut either = [ready(file.as_fd()), ready(signals.arrived.as_fd())];
        while let Err(errno) = poll(&mut either, PollTimeout::NONE) {
            if errno != Errno::EINTR {
                return Err(errno.into());
            }
        }
        if either[1].any().unwrap_or_default() {
            return Err(io::Error::other("interrupted by a signal"));
        }
        let mut file = file;
        let count = file.read(into)?;
        if into[..count].contains(&INTERRUPT) {
            return Err(io::Error::other("interrupted"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(bytes: &[u8]) -> Result<Passphrase, String> {
        accept(line(bytes), |why| why.to_string()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_passphrase_is_the_first_line_and_no_byte_after_it_is_taken() {
        let mut bytes = &b"open sesame\nthe rest"[..];
        assert_eq!(*line(&mut bytes).unwrap(), b"open sesame");
        assert_eq!(bytes, b"the rest");
        assert_eq!(*passphrase(b"no end").unwrap(), b"no end");
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let (read, _nobody_writes) = nix::unistd::pipe().unwrap();
        let error = line(Bounded { file: File::from(read), until: Instant::now() }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_empty_one_and_a_long_one_are_refused() {
        assert_eq!(passphrase(b"").unwrap_err(), "it is empty");
        assert_eq!(passphrase(b"\nx").unwrap_err(), "it is empty");
        assert!(passphrase(&[b'x'; MAX_PASSPHRASE]).is_ok());
        assert!(passphrase(&[b'x'; MAX_PASSPHRASE + 1]).unwrap_err().contains("longer"));
    }
}
