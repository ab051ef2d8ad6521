//! Whether a tick flushes, or leaves that to the next one.
//!
//! A write costs the kernel much the same whether it carries one frame or forty. Where few sources
//! write to few, one tick gathers enough for each. Where many write to many, what a tick has read
//! goes out in nearly as many writes as there are sources, and while these are made, more has come.
//! So as long as three of four reads bring many bytes, the flush is left to the next tick, which
//! does not wait: more gathers for each source, and one write carries it.
//!
//! This ends by itself: the next tick finds nothing, or little. And it is bounded, by
//! [`GATHERED_TIME`](limits::GATHERED_TIME) and [`GATHERED_BYTES`](limits::GATHERED_BYTES). Where a
//! few flood beside others who send little, each tick flushes, for the others would wait. A tick
//! flushes as well where a source has ended: its descriptor is to be closed.

use super::{Context, Time, limits};

/// What the ticks since the last flush have brought.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Reads of this tick that brought something.
    reads: usize,
    /// Those of them that brought much.
    long: usize,
    /// When the first tick began that has not flushed.
    since: Option<Time>,
}

impl Gathering {
    /// A read brought so many bytes.
    pub(super) fn came(&mut self, bytes: usize) {
        self.reads += 1;
        self.long += usize::from(bytes > limits::GATHERED_READ);
    }

    /// Whether this tick leaves its flush to the next one.
    pub(super) fn goes_on(&mut self, cx: &Context) -> bool {
        let brought_much = self.reads > 1 && 4 * self.long >= 3 * self.reads;
        let since = self.since.unwrap_or(cx.now);
        let may_wait = cx.now.since(since) < limits::GATHERED_TIME
            && cx.queued_in_all < limits::GATHERED_BYTES
            && !cx.has_dead
            && !cx.stopping;
        let goes_on = brought_much && may_wait && !cx.dirty.is_empty();
        *self = Self { since: goes_on.then_some(since), ..Self::default() };
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{Config, Token};

    fn context() -> Context {
        let mut cx = Context::new(&Config::default(), Time::default());
        cx.dirty.push(Token::FIRST);
        cx
    }

    #[test]
    fn it_goes_on_while_reads_bring_much_and_ends_at_each_bound() {
        let mut gathering = Gathering::default();
        let mut goes_on = |cx: &Context, reads: &[usize]| {
            for &bytes in reads {
                gathering.came(bytes);
            }
            gathering.goes_on(cx)
        };
        let (mut cx, much) = (context(), 2 * limits::GATHERED_READ);
        assert!(!goes_on(&cx, &[]), "nothing came");
        assert!(!goes_on(&cx, &[much]), "it came from one source");
        for _ in 0..2 {
            assert!(goes_on(&cx, &[much, much]));
        }
        cx.now = cx.now + limits::GATHERED_TIME;
        assert!(!goes_on(&cx, &[much, much]), "the first of them is too long ago");
        assert!(goes_on(&cx, &[much, 1, much, much]));
        assert!(!goes_on(&cx, &[]), "the next one found nothing");
        assert!(!goes_on(&cx, &[much, 1, much]), "too many wait who send little");
        cx.queued_in_all = limits::GATHERED_BYTES;
        assert!(!goes_on(&cx, &[much, much]));
        cx.queued_in_all = 0;
        cx.dirty.clear();
        assert!(!goes_on(&cx, &[much, much]), "there is nothing to flush");
        let mut cx = context();
        cx.has_dead = true;
        assert!(!goes_on(&cx, &[much, much]), "its descriptor is to be closed");
        let mut cx = context();
        cx.stopping = true;
        assert!(!goes_on(&cx, &[much, much]), "there is no next tick");
    }
}
