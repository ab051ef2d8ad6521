"""without_io_uring.py ERRNO PROGRAM: starts a program for which io_uring_setup fails with ERRNO.

That is what containers do: a filter of system calls (seccomp(2)).
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of BPF
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000
IO_URING_SETUP = 425  # on all systems

errno, program = int(sys.argv[1]), sys.argv[2]
instructions = [
    (LOAD, 0, 0, 0),  # the number of the call
    (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
    (RETURN, 0, 0, FAIL_WITH | errno),
    (RETURN, 0, 0, ALLOW),
]
filter_ = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *it) for it in instructions))
filter_program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(filter_))
libc = ctypes.CDLL(None, use_errno=True)
no_new_privileges = (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
for arguments in [no_new_privileges, (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program)]:
    if libc.prctl(*arguments) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(program, [program, "127.0.0.1:0"])
