//! What each call may fail with, by its manual page: at least one of a kind that is over, tried
//! again or waited for.

use nix::errno::Errno;

use super::Op;

impl Op {
    /// The errors that a test lets this call fail with.
    pub fn errnos(self) -> &'static [Errno] {
        match self {
            Op::Wait => &[Errno::EINTR],
            Op::Listen => &[Errno::EADDRINUSE, Errno::EACCES, Errno::EMFILE],
            Op::Accept => &[
                Errno::EAGAIN,
                Errno::EINTR,
                Errno::ECONNABORTED,
                Errno::EMFILE,
                Errno::ENFILE,
                Errno::ENOBUFS,
                Errno::ENOMEM,
                Errno::EPROTO,
            ],
            Op::Connect => {
                &[Errno::ENETUNREACH, Errno::EMFILE, Errno::EADDRNOTAVAIL, Errno::ENOBUFS]
            }
            Op::Error => &[Errno::ECONNREFUSED, Errno::ETIMEDOUT],
            Op::Open => &[Errno::EMFILE, Errno::EACCES],
            Op::Watch => &[Errno::ENOMEM, Errno::ENOSPC],
            Op::Read => &[
                Errno::EAGAIN,
                Errno::EINTR,
                Errno::ECONNRESET,
                Errno::ETIMEDOUT,
                Errno::ENOBUFS,
                Errno::ENOMEM,
            ],
            Op::Writev => &[
                Errno::EAGAIN,
                Errno::EINTR,
                Errno::ECONNRESET,
                Errno::EPIPE,
                Errno::ENOBUFS,
                Errno::ENOMEM,
            ],
            Op::Shutdown => &[Errno::ENOTCONN],
            Op::Close => &[],
        }
    }
}
