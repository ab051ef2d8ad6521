//! What goes wrong with the engine, on the way to it, and with relays.

use std::time::Duration;

use crate::support::model::server::{Kept, Trouble};
use crate::user::{LENT, User};
use crate::world::{RELAYS, REMEMBERED, World};

/// Errors with which the engine refuses calls.
const ERRORS: [Trouble; 5] =
    [Trouble::Loading, Trouble::OutOfMemory, Trouble::Busy, Trouble::DiskFails, Trouble::ReadOnly];
/// How long a relay is stopped, in milliseconds: not at all, until it has fenced itself, and until
/// its lease has ended.
const STOPS: [(usize, usize); 3] = [(0, 7_000), (7_000, 10_500), (10_500, 14_000)];

impl World {
    /// Something goes wrong, or comes right again.
    pub(crate) fn trouble(&mut self) {
        self.troubled = self.now();
        self.clients.disturbed += 1;
        match self.dice.below(3) {
            0 => self.relay_trouble(),
            _ => self.engine_trouble(),
        }
        self.engine.server_mut(); // it looks
    }

    fn engine_trouble(&mut self) {
        let dice = &mut self.dice;
        let (bytes, calls) = (dice.below(5000), u32::try_from(dice.below(4)).expect("few"));
        let (lost, kind, delay) = (dice.below(REMEMBERED + 1), dice.below(17), dice.millis(0, 400));
        let (error, ahead) = (*dice.pick(&ERRORS), *dice.pick(&[1, 1000]));
        let relay = self.relays[dice.below(RELAYS)].state().map(|it| it.incarnation.to_string());
        let server = self.engine.server_mut();
        let (is_stopped, may_lose, mut loses) = (server.is_stopped(), self.may_lose, false);
        let what = match kind {
            0 => {
                server.stop();
                "is stopped".to_owned()
            }
            1 | 2 if is_stopped => {
                server.go_on();
                "goes on".to_owned()
            }
            3 => {
                server.restart(Kept::All);
                "is started again".to_owned()
            }
            4 if may_lose => {
                server.restart(Kept::Nothing);
                loses = true;
                "is started again, empty".to_owned()
            }
            5 if may_lose => {
                server.restart(Kept::AllBut(lost));
                loses = true;
                format!("is started again without its last {lost} calls")
            }
            6 => {
                server.cut_answers(bytes);
                format!("ends a connection in {bytes} bytes of answers")
            }
            7 => {
                server.cut_commands(bytes);
                format!("ends a connection in {bytes} bytes of commands")
            }
            8 => {
                server.lose_answers(calls);
                format!("loses {calls} answers")
            }
            9 => {
                server.set_delay(delay);
                format!("takes {delay:?}")
            }
            10 => {
                server.set_trouble(Some(error));
                format!("says {error:?}")
            }
            11 if may_lose => {
                server.empty();
                loses = true;
                "is emptied".to_owned()
            }
            12 => {
                server.confuse(calls);
                format!("answers {calls} calls with nonsense")
            }
            13 => {
                server.lose_scripts();
                "has lost its scripts".to_owned()
            }
            14 | 15 if relay.is_some() && !is_stopped => {
                server.append_foreign(&relay.unwrap_or_default(), ahead);
                "has a foreign entry".to_owned()
            }
            _ if server.is_refusing() => {
                server.set_trouble(None);
                "has no errors".to_owned()
            }
            _ => return,
        };
        if loses {
            self.lost = Some(self.now());
            self.clients.ledger.letters_are_lost();
        }
        self.note(|| format!("the engine {what}"));
        let digit = |it: char| it.is_ascii_digit();
        self.count(&format!("engine: {}", what.split(digit).next().unwrap_or_default().trim()));
    }

    fn relay_trouble(&mut self) {
        let number = self.dice.below(RELAYS);
        let is_there = self.relays[number].process.is_some();
        match self.dice.below(5) {
            0 if is_there => self.kill_relay(number),
            1 | 2 if is_there => {
                let (least, most) = *self.dice.pick(&STOPS);
                let time = self.dice.millis(least, most);
                self.note(|| format!("relay {number} is stopped for {time:?}"));
                let until = self.now() + time;
                self.relays[number].stop(until);
                self.come_elsewhere(number);
            }
            3 if self.relays[number].serves() => {
                let released = self.relays[number].process.as_mut().map(|it| it.release(LENT));
                self.note(|| format!("relay {number} releases {LENT}: {released:?}"));
                self.belief.releases();
            }
            _ if !is_there => self.start_relay(number),
            _ => {}
        }
    }

    /// Other machines of the users of this relay connect, which does not answer.
    fn come_elsewhere(&mut self, relay: usize) {
        for user in 0..self.users.len() {
            let is_there = |it: &User| it.line.as_ref().is_some_and(|line| line.at == relay);
            let name = self.users[user].name;
            let is_other = self.users.iter().any(|it| it.name == name && is_there(it));
            let at = (relay + 1 + self.dice.below(RELAYS - 1)) % RELAYS;
            if is_other && self.users[user].line.is_none() && self.relays[at].serves() {
                self.connect_to(user, at);
            }
        }
    }

    /// Whether anything is wrong with the engine, or on the way to it, or a relay is stopped.
    pub(crate) fn is_troubled(&self) -> bool {
        let is_stopped = |it: &crate::relay::OneRelay| it.process.is_some() && !it.serves();
        self.engine.server().is_troubled() || self.relays.iter().any(is_stopped)
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn mend(&mut self) {
        self.note(|| "nothing goes wrong from now on".to_owned());
        let server = self.engine.server_mut();
        server.set_trouble(None);
        server.set_delay(Duration::ZERO);
        server.lose_answers(0);
        server.confuse(0);
        server.cut_answers(usize::MAX);
        server.cut_commands(usize::MAX);
        if server.is_stopped() {
            server.go_on();
        }
        for number in 0..RELAYS {
            let now = self.now();
            if let Some(process) = &mut self.relays[number].process {
                process.stopped = process.stopped.map(|_| now);
                self.relays[number].resumed = now;
            } else {
                self.start_relay(number);
            }
        }
    }
}
