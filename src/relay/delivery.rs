//! How letters leave their boxes: in order, some at a time, again until they are acknowledged.
//!
//! Of a box the relay knows only what it has delivered on a connection that takes letters, a
//! *taker*. The next letters are read from the store, also one that was stored a moment ago: so
//! there is one way for each letter, and one order. A taker has one question at the store at a
//! time, which deletes what was acknowledged and asks for what comes next.
//!
//! Nothing is read from the store for a connection that does not read: what is on its way to it is
//! bounded, and the next letters wait until its queue has left.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use super::event::Event;
use super::fault::Fault;
use super::letter_store::{Delivered, Delivery, LetterAsk, Owner};
use super::letters::UnderWay;
use super::limits::{
    DELIVERIES_UNDER_WAY, DELIVERY_BYTES, DELIVERY_LETTERS, DELIVERY_PAUSE, LAST_DELIVERIES,
};
use super::{LETTERS, Relay};
use crate::reactor::{Context, Token};
use crate::wire::{LetterKind, Reply, TakeMode, letter_end};

/// The connections that take letters.
#[derive(Default)]
pub(super) struct Takers {
    all: BTreeMap<Token, Taker>,
    /// Those for whom the store is to be asked, in turn. Some may be gone.
    waiting: VecDeque<Token>,
    /// Those that are asked for again after a pause. Some may be gone.
    resting: Vec<Token>,
}

/// A connection that takes letters.
struct Taker {
    take: TakeMode,
    /// The highest number that was delivered.
    after: u64,
    /// What was delivered and is in the box still.
    delivered: Vec<OnItsWay>,
    /// The question that is under way.
    ticket: Option<u64>,
    /// It asks for letters too.
    asks_for_more: bool,
    /// There may be more in the box.
    has_more: bool,
    /// A letter came into the box since the question that is under way.
    has_news: bool,
    /// It is to be told when nothing more is in the box.
    owes_end: bool,
    is_waiting: bool,
}

/// A letter that was delivered.
struct OnItsWay {
    number: u64,
    bytes: usize,
    /// Tells it from another letter of the same number.
    hash: u64,
    state: Step,
    /// It is in the box under this number. Where boxes may be others than before, that is known
    /// only once they are read again.
    is_sure: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It was delivered.
    Delivered,
    /// It was acknowledged.
    Acknowledged,
    /// The store is deleting it.
    Deleting,
}

impl Takers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// A letter of this kind has come into the box of `id`, which may take letters.
    pub(super) fn wake(&mut self, id: Token, kind: LetterKind) {
        let Some(taker) = self.all.get_mut(&id) else { return };
        if taker.take == TakeMode::All || kind == LetterKind::Receipt {
            (taker.has_more, taker.has_news) = (true, true);
            self.queue(id);
        }
    }

    /// The store is to be asked for `id`, unless it is already.
    pub(super) fn queue(&mut self, id: Token) {
        let Some(taker) = self.all.get_mut(&id) else { return };
        if taker.ticket.is_none() && !std::mem::replace(&mut taker.is_waiting, true) {
            self.waiting.push_back(id);
        }
    }

    fn rest(&mut self, cx: &mut Context, id: Token) {
        if self.resting.is_empty() {
            cx.set_timer(LETTERS, Some(cx.now() + DELIVERY_PAUSE));
        }
        self.resting.push(id);
    }

    /// The boxes may be others than before: all are read from the first letter on. What was
    /// delivered and is there still is not delivered again.
    pub(super) fn read_again(&mut self) {
        let all: Vec<Token> = self.all.keys().copied().collect();
        for id in all {
            if let Some(taker) = self.all.get_mut(&id) {
                taker.read_again();
            }
            self.queue(id);
        }
    }

    /// The pause is over.
    pub(super) fn go_on(&mut self) {
        for id in std::mem::take(&mut self.resting) {
            self.queue(id);
        }
    }
}

impl Taker {
    fn new(take: TakeMode) -> Self {
        Self {
            take,
            after: 0,
            delivered: Vec::new(),
            ticket: None,
            asks_for_more: false,
            has_more: true,
            has_news: false,
            owes_end: true,
            is_waiting: false,
        }
    }

    /// The box is read from the first letter on. Nothing is deleted by a number that may be that of
    /// another letter now.
    fn read_again(&mut self) {
        self.keep_acknowledged();
        self.delivered.iter_mut().for_each(|letter| letter.is_sure = false);
        (self.after, self.ticket, self.has_more) = (0, None, true);
    }

    /// A letter was read from the box. Returns whether it was delivered before.
    fn finds(&mut self, number: u64, hash: u64) -> bool {
        let Some(place) = self.delivered.iter().position(|it| it.number == number) else {
            return false;
        };
        let letter = &mut self.delivered[place];
        letter.is_sure |= letter.hash == hash;
        if !letter.is_sure {
            self.delivered.remove(place);
            return false;
        }
        true
    }

    /// How many letters and bytes were delivered and not acknowledged.
    fn unacknowledged(&self) -> (usize, usize) {
        let is_there = |it: &&OnItsWay| it.is_sure && it.state == Step::Delivered;
        let them = self.delivered.iter().filter(is_there);
        them.fold((0, 0), |(count, bytes), letter| (count + 1, bytes + letter.bytes))
    }

    /// The numbers of those that are to be deleted; they count as being deleted.
    fn take_acknowledged(&mut self) -> Vec<u64> {
        let is_done = |it: &&mut OnItsWay| it.is_sure && it.state == Step::Acknowledged;
        let them = self.delivered.iter_mut().filter(is_done);
        them.map(|letter| {
            letter.state = Step::Deleting;
            letter.number
        })
        .collect()
    }
}

impl Relay {
    /// `letters`: delivers what waits, and what will come. Asked again, it begins anew.
    pub(super) fn take_letters(&mut self, from: Token, take: TakeMode) -> Result<(), Fault> {
        self.letter_owner(from)?;
        let takers = &mut self.letters.takers;
        let taker = takers.all.entry(from).or_insert_with(|| Taker::new(take));
        let mut anew = Taker::new(take);
        anew.delivered = std::mem::take(&mut taker.delivered);
        anew.delivered.retain(|letter| letter.state == Step::Acknowledged);
        anew.is_waiting = taker.is_waiting;
        *taker = anew;
        takers.queue(from);
        Ok(())
    }

    /// `ack`: a letter is needed no more. One that was not delivered on this connection stays.
    pub(super) fn acknowledge(&mut self, from: Token, number: u64) -> Result<(), Fault> {
        self.letter_owner(from)?;
        let takers = &mut self.letters.takers;
        let delivered = takers.all.get_mut(&from).map(|taker| &mut taker.delivered);
        let letter = delivered.and_then(|all| all.iter_mut().find(|it| it.number == number));
        if let Some(letter) = letter.filter(|letter| letter.state == Step::Delivered) {
            letter.state = Step::Acknowledged;
            takers.queue(from);
        }
        Ok(())
    }

    /// Asks the store for those that wait, as many as may be under way.
    pub(super) fn deliver(&mut self, cx: &mut Context) {
        while self.letters.deliveries() < DELIVERIES_UNDER_WAY
            && let Some(id) = self.letters.takers.waiting.pop_front()
        {
            self.ask_for_letters(cx, id);
        }
    }

    fn ask_for_letters(&mut self, cx: &mut Context, id: Token) {
        let is_scarce = self.is_scarce(cx);
        let Some(taker) = self.letters.takers.all.get_mut(&id) else { return };
        taker.is_waiting = false;
        if taker.ticket.is_some() || !cx.is_open(id) {
            return;
        }
        let (letters, bytes) = taker.unacknowledged();
        // Half of what may be under way, so that a question brings several letters.
        let has_room = letters <= DELIVERY_LETTERS / 2 && bytes <= DELIVERY_BYTES / 2;
        let wants = taker.has_more && has_room;
        let may = wants && !cx.has_backlog(id) && !is_scarce;
        let acknowledged = taker.take_acknowledged();
        if acknowledged.is_empty() && !may {
            if wants && is_scarce {
                self.letters.takers.rest(cx, id);
            }
            return; // where it has a backlog, `drained` queues it again
        }
        let (take, after) = (taker.take, taker.after);
        (taker.has_news, taker.asks_for_more) = (false, may);
        let letters = if may { DELIVERY_LETTERS - letters } else { 0 };
        let bytes = DELIVERY_BYTES - bytes.min(DELIVERY_BYTES);
        let Ok(owner) = self.letter_owner(id) else { return }; // the name was released
        let delivery = Delivery { owner, take, acknowledged, after, letters, bytes };
        let asked = self.ask(UnderWay::Delivery { to: id }, LetterAsk::Deliver(delivery));
        let ticket = asked.ok();
        let Some(taker) = self.letters.takers.all.get_mut(&id) else { return };
        taker.ticket = ticket;
        if ticket.is_none() {
            taker.keep_acknowledged();
            self.letters.takers.rest(cx, id);
        }
    }

    /// The store has answered for `id`. Returns what went wrong with the disk.
    pub(super) fn delivered(
        &mut self,
        cx: &mut Context,
        id: Token,
        ticket: u64,
        answer: Delivered,
    ) -> Option<String> {
        let Delivered { deleted, mut letters, has_more } = answer;
        self.counters.letters_acknowledged += *deleted.as_ref().unwrap_or(&0) as u64;
        let read = letters.len();
        letters.truncate(self.room_for(cx, id, &letters));
        let are_left = letters.len() < read;
        let taker = self.letters.takers.all.get_mut(&id);
        let Some(taker) = taker.filter(|taker| taker.ticket == Some(ticket)) else {
            return deleted.err(); // it has left, or begun anew
        };
        taker.ticket = None;
        let failure = deleted.err();
        if failure.is_some() {
            taker.keep_acknowledged();
        } else {
            taker.delivered.retain(|letter| letter.state != Step::Deleting);
        }
        let brings_none = taker.asks_for_more && letters.is_empty();
        taker.has_more = has_more || taker.has_news || are_left;
        letters.retain(|(number, kept)| {
            let hash = hash(kept);
            taker.after = *number;
            let is_new = !taker.finds(*number, hash);
            if is_new {
                let (number, bytes, state) = (*number, kept.len(), Step::Delivered);
                taker.delivered.push(OnItsWay { number, bytes, hash, state, is_sure: true });
                taker.owes_end = true;
            }
            is_new
        });
        if taker.asks_for_more {
            // What was not found again is not there any more.
            let (after, has_more) = (taker.after, taker.has_more);
            taker.delivered.retain(|it| it.is_sure || has_more && it.number > after);
        }
        let is_told = !taker.has_more && std::mem::take(&mut taker.owes_end);
        let must_rest = failure.is_some() || brings_none && taker.has_more && !taker.has_news;
        if must_rest {
            self.letters.takers.rest(cx, id);
        } else {
            self.letters.takers.queue(id);
        }
        for (number, kept) in &letters {
            self.send_letter(cx, id, *number, kept);
        }
        if is_told {
            self.answer(cx, id, &Reply::LetterboxEmpty.encode());
        }
        failure
    }

    /// How many of these letters may be queued for `id`: until so much waits for it that it counts
    /// as full. The others are read from the store again.
    fn room_for(&self, cx: &Context, id: Token, letters: &[(u64, Vec<u8>)]) -> usize {
        if !cx.is_open(id) || self.is_scarce(cx) {
            return 0;
        }
        let (soft, mut queued) = (self.soft_limit(cx, id), cx.queued(id));
        let fits = |(_, kept): &&(u64, Vec<u8>)| {
            let is_full = queued > 0 && queued > soft;
            queued += kept.len();
            !is_full
        };
        letters.iter().take_while(fits).count()
    }

    fn send_letter(&mut self, cx: &mut Context, id: Token, number: u64, kept: &[u8]) {
        let bytes = self.queue(cx, id, &[kept, letter_end(number).as_bytes()]);
        self.counters.letters_delivered += 1;
        if let Some(user) = self.peers.user(id) {
            let to = user.name.as_str();
            self.log.tell(&Event::LetterDelivered { to, number, bytes });
        }
    }

    /// The user of `id` has left. What it has acknowledged is deleted, and the rest waits for its
    /// next connection.
    pub(super) fn stop_taking(&mut self, id: Token, owner: Option<Owner>) {
        let taker = self.letters.takers.all.remove(&id);
        let (Some(mut taker), Some(owner)) = (taker, owner) else { return };
        let acknowledged = taker.take_acknowledged();
        if acknowledged.is_empty() || self.letters.deliveries() >= LAST_DELIVERIES {
            return;
        }
        let (take, after) = (taker.take, taker.after);
        let delivery = Delivery { owner, take, acknowledged, after, letters: 0, bytes: 0 };
        let _ = self.ask(UnderWay::Delivery { to: id }, LetterAsk::Deliver(delivery));
    }
}

impl Taker {
    /// What the store did not delete is to be deleted still.
    fn keep_acknowledged(&mut self) {
        for letter in self.delivered.iter_mut().filter(|letter| letter.state == Step::Deleting) {
            letter.state = Step::Acknowledged;
        }
    }
}

fn hash(kept: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(kept);
    hasher.finish()
}
