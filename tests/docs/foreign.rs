//! Names in the text that are not ours, so that nothing here can hold them to anything.

/// Files of other programs, of a system or of a build.
pub(crate) const FOREIGN_FILES: &[&str] = &[
    // Written by `benches/measure`.
    "measurements/figures.ndjson",
    // Made by `tests/python/setup`.
    "target/venv",
    // In the data directory of a user.
    "letters.sqlite",
    "sealwax/relay",
    // Of the kernel and of other servers (`docs/loop`).
    "ae.c",
    "Documentation/admin-guide/sysctl/kernel.rst",
    "fs/eventpoll.c",
    "src/ae.c",
    "src/ev_epoll.c",
    "src/event/modules/ngx_epoll_module.c",
    "src/networking.c",
    "src/sys/unix/selector/epoll.rs",
    "src/unix/linux.c",
    "src/unix/stream.c",
    "tokio/src/runtime/io/scheduled_io.rs",
];

/// Names of the kernel, of protocols and of other programs.
pub(crate) const FOREIGN_NAMES: &[&str] = &[
    "EV_CLEAR",
    "EV_ONESHOT",
    "EpollTimeout::NONE",
    "TCP_NODELAY",
    "close_notify",
    "ep_poll_callback",
    "io_uring_enter",
    // In a formula of `docs/protocol.md`.
    "relay_pub",
];
