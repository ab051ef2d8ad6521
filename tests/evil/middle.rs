//! A machine in the middle that ends TLS: one connection to the client, another to the relay, and
//! all that is said between the two is read, kept, and changed as a test likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sealwax::tls::{Engines, ServerTls};

use crate::support::process::{Homes, Relay};
use crate::support::transform::Tunnel;

/// What it makes of what a client says.
pub(crate) type Edit = fn(&str) -> String;

pub(crate) struct Middle {
    pub(crate) address: String,
    read: Arc<Mutex<String>>,
}

impl Middle {
    /// In front of `relay`. Ends with the test's process.
    pub(crate) fn before(relay: &str, edit: Edit) -> Self {
        let relay: SocketAddr = relay.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let read = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&read);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (client, kept) = (stream.unwrap(), Arc::clone(&kept));
                thread::spawn(move || {
                    stand(client, TcpStream::connect(relay).unwrap(), edit, &kept);
                });
            }
        });
        Self { address, read }
    }

    /// All that it has read, of both.
    pub(crate) fn has_read(&self) -> String {
        self.read.lock().unwrap().clone()
    }
}

/// Stands between the two until one of them ends.
fn stand(mut client: TcpStream, mut relay: TcpStream, edit: Edit, kept: &Mutex<String>) {
    let mut to_client = Tunnel::new(ServerTls::self_signed().unwrap().engine().unwrap());
    let mut to_relay = Tunnel::tls();
    let (mut for_client, mut for_relay) = (Vec::new(), Vec::new());
    loop {
        // What an engine has to say itself leaves with it.
        for (tunnel, stream, plain) in [
            (&mut to_client, &mut client, &mut for_client),
            (&mut to_relay, &mut relay, &mut for_relay),
        ] {
            let (wire, taken) = tunnel.seal(plain);
            plain.drain(..taken);
            if stream.write_all(&wire).is_err() {
                return;
            }
        }
        let mut fds = [&client, &relay].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        if poll(&mut fds, PollTimeout::from(60_000_u16)).unwrap() == 0 {
            return; // neither end goes on
        }
        let ready = fds.map(|fd| fd.any().unwrap());
        for (is_ready, tunnel, stream) in
            [(ready[0], &mut to_client, &mut client), (ready[1], &mut to_relay, &mut relay)]
        {
            let mut wire = [0; 16 * 1024];
            if !is_ready {
                continue;
            }
            match stream.read(&mut wire) {
                Ok(read @ 1..) if tunnel.open(&wire[..read]).is_ok() && !tunnel.is_over => {}
                _ => return,
            }
        }
        let said = String::from_utf8(std::mem::take(&mut to_client.plain)).unwrap();
        let answered = String::from_utf8(std::mem::take(&mut to_relay.plain)).unwrap();
        kept.lock().unwrap().extend([&*said, &*answered]);
        for_relay.extend(edit(&said).into_bytes());
        for_client.extend(answered.into_bytes());
    }
}

/// Whoever ends TLS between a client and its relay is found at the challenge, and gets no proof:
/// whether it leaves `bind` as it is or takes it out.
#[test]
fn a_machine_in_the_middle_is_found_before_anything_is_proven() {
    let edits: [fn(&str) -> String; 2] =
        [str::to_owned, |said| said.replace("\"bind\":\"tls-exporter\"", "\"x\":\"\"")];
    for edit in edits {
        let (homes, relay) = (Homes::new(), Relay::ephemeral());
        let middle = Middle::before(&relay.address, edit);
        let send = ["send", "--wait", "0", "bob", "hi"];
        let refused = homes.client("alice", &middle.address, &send).end().with_code(5);
        assert!(refused.transcript.contains("stands between"), "{refused:?}");
        let read = middle.has_read();
        assert!(read.contains("\"register\"") && read.contains("\"challenge\""), "{read}");
        assert!(!read.contains("\"prove\""), "{read}");
        assert!(!homes.of("alice").join("known_marks").exists());
        assert!(!homes.of("alice").join("known_relays").exists(), "nothing is pinned");
    }
}
