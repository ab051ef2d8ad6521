//! Letters that came, and letters that were delivered, gathered to be told in one line a peer: a
//! letterbox may hold many, and a line for each of them would hide all else.

use std::collections::BTreeMap;

use super::super::view::ago;
use crate::client::{Event, Way};

/// What is not told yet, by peer. There are no more peers than letters that a client takes, or
/// waits for, within the time that it gathers.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    came: BTreeMap<String, Batch>,
    delivered: BTreeMap<String, Batch>,
}

/// Letters of one peer.
#[derive(Debug)]
struct Batch {
    count: u64,
    /// When the oldest of them was written or left, in milliseconds since 1970.
    oldest: u64,
}

impl Gathered {
    /// Takes a letter that came, or one of an earlier run that was delivered. Returns whether the
    /// event was one of these.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        let (batches, peer, at) = match event {
            Event::Message { from, way: Way::Letter { at }, .. } => (&mut self.came, from, *at),
            Event::Delivered { to, stored_at: Some(at), .. } => (&mut self.delivered, to, *at),
            _ => return false,
        };
        let batch = batches.entry(peer.clone()).or_insert(Batch { count: 0, oldest: at });
        (batch.count, batch.oldest) = (batch.count + 1, batch.oldest.min(at));
        true
    }

    /// What was gathered, a peer and a sentence each; and nothing is left. `now`: milliseconds
    /// since 1970.
    pub(super) fn take(&mut self, now: u64) -> Vec<(String, String)> {
        let tell = |Batch { count, oldest }: Batch, what: &str, then: &str| {
            let oldest = ago(now, oldest);
            match count {
                1 => format!("1 letter {what}, {then} {oldest}"),
                _ => format!("{count} letters {what}, the oldest {then} {oldest}"),
            }
        };
        let came = std::mem::take(&mut self.came).into_iter();
        let came = came.map(|(peer, batch)| {
            let sentence = tell(batch, &format!("of {peer} came"), "written");
            (peer, sentence)
        });
        let delivered = std::mem::take(&mut self.delivered).into_iter();
        let delivered = delivered.map(|(peer, batch)| {
            let were = if batch.count == 1 { "was" } else { "were" };
            let sentence = tell(batch, &format!("to {peer} {were} delivered"), "left");
            (peer, sentence)
        });
        came.chain(delivered).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn letters_are_told_in_one_line_a_peer_with_the_age_of_the_oldest() {
        let mut gathered = Gathered::default();
        let delivered = |to: &str, stored_at| {
            let (id, to) = (String::new(), to.to_owned());
            Event::Delivered { id, to, stored_at }
        };
        for hours in [70, 20, 99] {
            assert!(gathered.note(&delivered("bob", Some(hours * HOUR))));
        }
        assert!(gathered.note(&delivered("carol", Some(98 * HOUR))));
        assert!(!gathered.note(&delivered("dave", None)), "of this run");
        let told = [
            ("bob", "3 letters to bob were delivered, the oldest left 3 days ago"),
            ("carol", "1 letter to carol was delivered, left 2 h ago"),
        ];
        let told = told.map(|(peer, sentence)| (peer.to_owned(), sentence.to_owned()));
        assert_eq!(gathered.take(100 * HOUR), told);
        assert!(gathered.take(100 * HOUR).is_empty());
    }
}
