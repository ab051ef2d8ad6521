//! Frames of original clients: what was sent, what the relay answered, and where it arrived.

use std::collections::BTreeMap;

/// Every frame that original clients sent to somebody.
#[derive(Default)]
pub(crate) struct Post {
    letters: BTreeMap<String, Letter>,
    /// The number of the last frame that arrived, by sender's and addressee's connection.
    last: BTreeMap<(u64, u64), u64>,
    sent: u64,
}

struct Letter {
    number: u64,
    from: String,
    /// The connection that sent it, and that of the addressee as it was then.
    from_connection: u64,
    to_connection: Option<u64>,
    content: String,
    /// Whether it has an `id`, and so must be answered.
    is_asked: bool,
    answer: Option<Answer>,
    arrived: bool,
}

/// What the relay said to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Relayed,
    Error,
}

impl Post {
    /// A new frame's id and content.
    pub(crate) fn write(
        &mut self,
        from: (&str, u64),
        to: (&str, Option<u64>),
        is_asked: bool,
        length: usize,
    ) -> (String, String) {
        self.sent += 1;
        let (id, filler) = (format!("m{}", self.sent), "0".repeat(length));
        let content = format!("{id}|{}>{}|{filler}", from.0, to.0);
        let letter = Letter {
            number: self.sent,
            from: from.0.to_owned(),
            from_connection: from.1,
            to_connection: to.1,
            content: content.clone(),
            is_asked,
            answer: None,
            arrived: false,
        };
        self.letters.insert(id.clone(), letter);
        (id, content)
    }

    /// A frame arrived at this connection.
    pub(crate) fn arrived(&mut self, from: &str, content: &str, at: u64) {
        let id = content.split('|').next().unwrap_or_default();
        let Some(letter) = self.letters.get_mut(id) else { panic!("nobody sent {id}") };
        assert_eq!(letter.from, from, "{id} has another sender");
        assert!(letter.content == content, "{id} is not whole");
        assert!(!std::mem::replace(&mut letter.arrived, true), "{id} arrived twice");
        let last = self.last.entry((letter.from_connection, at)).or_default();
        assert!(letter.number > *last, "{id} arrived behind number {last}");
        *last = letter.number;
    }

    /// The relay answered.
    pub(crate) fn answered(&mut self, id: &str, answer: Answer) {
        let Some(letter) = self.letters.get_mut(id) else { return }; // a ping's, for one
        let before = letter.answer.replace(answer);
        assert_eq!(before, None, "{id} was answered twice, now {answer:?}");
    }

    /// What the relay has answered to a frame.
    #[allow(dead_code, reason = "several relays are asked about single frames")]
    pub(crate) fn answer(&self, id: &str) -> Option<Answer> {
        self.letters.get(id)?.answer
    }

    /// This connection has said all that it had to say, and heard everything.
    pub(crate) fn ended(&self, connection: u64) {
        let of = |letter: &Letter| letter.is_asked && letter.from_connection == connection;
        let silence = self.letters.iter().find(|(_, it)| of(it) && it.answer.is_none());
        assert!(silence.is_none(), "{:?} was never answered", silence.map(|(id, _)| id));
    }

    /// Everything has come to rest, and these connections live: what they sent is answered, and
    /// what they were promised is there.
    pub(crate) fn settle(&self, living: &[u64]) {
        for (id, letter) in &self.letters {
            if letter.is_asked && living.contains(&letter.from_connection) {
                assert!(letter.answer.is_some(), "{id} was never answered");
            }
            let lives = letter.to_connection.is_some_and(|to| living.contains(&to));
            if lives && letter.answer == Some(Answer::Relayed) {
                assert!(letter.arrived, "{id} was relayed and never arrived");
            }
        }
    }

    /// How many frames were sent, arrived, and were refused.
    pub(crate) fn totals(&self) -> [u64; 3] {
        let refused = |letter: &&Letter| letter.answer == Some(Answer::Error);
        let arrived = self.letters.values().filter(|letter| letter.arrived).count();
        let refused = self.letters.values().filter(refused).count();
        [self.letters.len(), arrived, refused].map(|count| count as u64)
    }
}
