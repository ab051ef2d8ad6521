//! How connections of the simulation travel: in the clear, through a transform that costs nothing,
//! or through TLS.
//!
//! TLS draws its keys from the kernel, so its bytes differ from run to run. Their number does not:
//! see [`server_tls`].

use std::io::IoSlice;

use sealwax::client::{Channel, Mark, MemoryPins, PinBook};
use sealwax::reactor::{Garbled, Step, Transform};
use sealwax::tls::{ClientTls, Engines, ServerTls};

use crate::support::transform::{Fake, server_tls};
use crate::weather::Weather;

/// How a run of a client speaks, which its seed decides.
pub(crate) fn channel(seed: u64, weather: &Weather) -> Channel {
    match seed % 3 {
        0 => Channel::plain(),
        1 => Channel::bound(Box::new(|| Some(Box::new(Fake::new(true))))),
        _ => {
            let (tls, weather) = (ClientTls::bound().expect("settings"), weather.clone());
            Channel::bound(Box::new(move || {
                weather.count("client speaks TLS");
                tls.engine()
            }))
        }
    }
}

/// What such a run remembers: that the relay speaks TLS, or else whoever is cut off in the middle
/// of the first handshake would leave.
pub(crate) fn marks(seed: u64) -> MemoryPins {
    let marks = MemoryPins::default();
    if !seed.is_multiple_of(3) {
        let mut book = PinBook::<Mark>::new(Box::new(marks.clone()));
        book.change(|file| file.set(Mark::tls("relay"))).expect("memory can be written");
    }
    marks
}

/// Where the relay gets its engines from: they take the fake and TLS.
pub(crate) struct Either(ServerTls);

impl Either {
    pub(crate) fn new() -> Self {
        Self(server_tls())
    }
}

impl Engines for Either {
    fn engine(&self) -> Option<Box<dyn Transform>> {
        Some(Box::new(End::Undecided(self.0.clone())))
    }
}

/// The relay's end of one connection.
enum End {
    /// Nothing has been opened yet.
    Undecided(ServerTls),
    Decided(Box<dyn Transform>),
}

impl End {
    /// Decides by the first record: the fake's says version 3.3, and that of a `ClientHello` 3.1.
    fn decide(&mut self, wire: &[u8]) {
        let Self::Undecided(tls) = self else { return };
        let is_fake = wire.get(2).expect("the hello is whole") == &3;
        let fake = || Box::new(Fake::new(false)) as Box<dyn Transform>;
        *self = Self::Decided(if is_fake { fake() } else { tls.engine().expect("an engine") });
    }

    fn decided(&mut self) -> Option<&mut Box<dyn Transform>> {
        if let Self::Decided(engine) = self { Some(engine) } else { None }
    }
}

impl Transform for End {
    fn open(&mut self, wire: &[u8], plain: &mut [u8]) -> Result<Step, Garbled> {
        self.decide(wire);
        self.decided().expect("just decided").open(wire, plain)
    }

    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> usize {
        self.decided().map_or(0, |engine| engine.seal(plain, wire))
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        self.decided().into_iter().for_each(|engine| engine.finish(wire));
    }

    fn binding(&self) -> Option<[u8; 32]> {
        if let Self::Decided(engine) = self { engine.binding() } else { None }
    }
}
