//! End-to-end encrypted messages through one hand-written epoll loop.
//!
//! # The map: what to read, in which order
//!
//! 1. [`reactor`]: the epoll loop. Its `mod.rs` is an essay that turns into code, and names the
//!    order of its own files. `docs/loop` tells the same as a tour, one problem at a time.
//! 2. [`wire`]: bytes ↔ frames ↔ messages. `frame.rs` first: where objects lie in a stream.
//! 3. [`relay`]: who is here, what each may do, where a frame goes. It runs on the reactor and owns
//!    no descriptor.
//!    [`tls`] is what stands between the two where a connection begins with it. [`cluster`] is what
//!    several relays will need to act as one; nothing uses it yet.
//! 4. [`crypto`], then [`client`]: keys and sessions, and the conversations that are made of them.
//!    The relay needs little of the first and nothing of the second.
//! 5. [`command`]: one room a command, which wires the above together; [`load`], which measures;
//!    [`home`], files that are private and whole; [`screen`], what a person types and sees;
//!    [`trace`], the loop watched, for people and tools.
//!
//! [`limits`] has every bound that the others refer to. Imports run downwards only
//! (`docs/architecture.md`), so each of them can be read without those behind it.
//!
//! # One message, from socket to socket
//!
//! Alice and bob are registered and idle; alice sends bob a message without an `id`. In the relay's
//! process that is two system calls, and a share in a third:
//!
//! ```text
//!  alice's kernel      ours                    the loop                         bob's kernel
//!       │ 131 bytes     │                                                            │
//!       ├──────────────▶│ ready list: alice                                          │
//!       │               ├────────────────▶ epoll_wait() = 1: alice, EPOLLIN          │
//!       │               │◀──────────────── read(alice, 64 KiB) = 131                 │
//!       │               │                    Relay::received: one frame, to bob      │
//!       │               │                    Context::send: bob's outbox, dirty      │
//!       │               │                    end of tick                             │
//!       │               │◀──────────────── writev(bob, 131 bytes) = 131              │
//!       │               ├───────────────────────────────────────────────────────────▶│
//!       │               │                    nothing to re-arm, nobody to reap       │
//!       │               │◀──────────────── epoll_wait()                              │
//! ```

pub mod address;
pub mod admin;
pub mod client;
pub mod cluster;
pub mod command;
pub mod crypto;
pub mod home;
pub mod limits;
pub mod load;
pub mod reactor;
pub mod relay;
pub mod screen;
pub mod tls;
pub mod tokens;
pub mod trace;
pub mod wire;
