//! Look-ups of host names that do not block the loop.
//!
//! The C library looks a name up by blocking (`getaddrinfo(3)`), for half a minute where nobody
//! answers. So each look-up has a thread of its own, which wakes the loop when it is done
//! (`eventfd(2)`). A look-up that is not waited for any more goes on, because a thread in it cannot
//! be ended; there are never more than [`LOOKUP_THREADS`]. The threads inherit the blocked signals
//! of the loop, because they start after it has blocked them.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::address::Address;
use crate::client::Resolver;
use crate::limits::LOOKUP_THREADS;
use crate::reactor::Waker;

/// What a look-up found; the error is for people.
type Found = Result<Vec<SocketAddr>, String>;

/// Looks up in threads.
pub(super) struct Threads {
    waker: Waker,
    answers: Receiver<(u64, Found)>,
    answer: Sender<(u64, Found)>,
    /// The look-up that is waited for.
    number: u64,
    /// Threads that have not ended.
    running: usize,
    /// What a thread runs: the resolver of the C library, or that of a test.
    look_up: fn(&Address) -> Found,
}

impl Threads {
    /// Nothing is looked up yet. `waker` wakes the loop of whoever asks.
    pub(super) fn new(waker: Waker) -> Self {
        Self::with(waker, Address::resolve)
    }

    fn with(waker: Waker, look_up: fn(&Address) -> Found) -> Self {
        let (answer, answers) = channel();
        Self { waker, answers, answer, number: 0, running: 0, look_up }
    }
}

impl Resolver for Threads {
    fn begin(&mut self, relay: &str) -> Option<Found> {
        let address: Address = match relay.parse() {
            Ok(address) => address,
            Err(fault) => return Some(Err(format!("{relay} is {fault}"))),
        };
        if let Some(literal) = address.literal() {
            return Some(Ok(vec![literal]));
        }
        let _ = self.answer(); // of one before: it may have ended meanwhile
        if self.running >= LOOKUP_THREADS {
            return Some(Err("no name server answers for this name".to_owned()));
        }
        self.number += 1;
        let (number, answer, waker) = (self.number, self.answer.clone(), self.waker.clone());
        let look_up = self.look_up;
        let thread = thread::Builder::new().name("resolver".to_owned());
        let started = thread.spawn(move || {
            let _ = answer.send((number, look_up(&address))); // nobody may wait any more
            waker.wake();
        });
        match started {
            Ok(_) => self.running += 1,
            Err(error) => return Some(Err(format!("no thread to look it up: {error}"))),
        }
        None
    }

    fn answer(&mut self) -> Option<Found> {
        let mut found = None;
        while let Ok((number, answer)) = self.answers.try_recv() {
            self.running -= 1;
            if number == self.number {
                found = Some(answer);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number_needs_no_thread_and_what_never_answers_takes_no_more_than_so_many() {
        let never = |_: &Address| -> Found {
            loop {
                thread::park(); // the process does not wait for it
            }
        };
        let mut threads = Threads::with(Waker::new().unwrap(), never);
        let literal = threads.begin("127.0.0.1:5").unwrap().unwrap();
        assert_eq!(literal, ["127.0.0.1:5".parse().unwrap()]);
        assert!(threads.begin("no address").unwrap().is_err());
        for _ in 0..LOOKUP_THREADS {
            assert_eq!(threads.begin("nobody:1"), None);
            assert_eq!(threads.answer(), None);
        }
        assert!(threads.begin("nobody:1").unwrap().is_err());
    }
}
