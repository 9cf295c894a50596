"""A seccomp filter for commands: system calls that no build or test needs and that attack the kernel are refused.

Refused with EPERM: changing mounts, modules, clocks and swap, entering namespaces, kernel keys, bpf, perf, userfaultfd,
io_uring, file handles; pushing characters into a terminal (TIOCSTI, TIOCLINUX). `clone` may not make a user namespace,
and `clone3`, whose flags a filter cannot see, answers ENOSYS, on which C libraries use `clone`. Limits can be
set for the caller only, not for another process (the keeper's would be those of later commands). Calls of another
architecture answer ENOSYS.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html; numbers: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

# name: (x86_64, aarch64)
_REFUSED: dict[str, tuple[int, int]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_ARCHITECTURES = {
    # machine: column above, audit number, clone, clone3, ioctl, prlimit64
    "x86_64": (0, 0xC000003E, 56, 435, 16, 302),
    "aarch64": (1, 0xC00000B7, 220, 435, 29, 261),
}
_X32_BIT = 0x40000000
_CLONE_NEWUSER = 0x10000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24  # offsets in struct seccomp_data, low halves
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026

_Step = tuple[int, int, int, int]


@cache
def seccomp_program(machine: str) -> bytes | None:
    """The filter as the kernel takes it; None for a machine whose numbers are not known here.

    Args:
        machine: As `os.uname().machine`.

    Example:
        >>> seccomp_program("pdp11") is None, len(seccomp_program("x86_64")) % 8
        (True, 0)
    """
    if machine not in _ARCHITECTURES:
        return None
    column, audit, clone, clone3, ioctl, prlimit = _ARCHITECTURES[machine]
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_when(_EQUAL, audit, otherwise=_ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        steps += _return_when(_AT_LEAST, _X32_BIT, _ENOSYS)
    for row in _REFUSED.values():
        steps += _return_when(_EQUAL, row[column], _EPERM)
    steps += _return_when(_EQUAL, clone3, _ENOSYS)
    steps += _with_argument(clone, _ARGUMENT_0, [(_ANY_BIT, _CLONE_NEWUSER)])
    steps += _with_argument(ioctl, _ARGUMENT_1, [(_EQUAL, _TIOCSTI), (_EQUAL, _TIOCLINUX)])
    steps += _with_argument(prlimit, _ARGUMENT_0, [(_AT_LEAST, 1)])
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _return_when(test: int, value: int, verdict: int) -> list[_Step]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, verdict)]


def _when(test: int, value: int, *, otherwise: int) -> list[_Step]:
    return [(test, 1, 0, value), (_RETURN, 0, 0, otherwise)]


def _with_argument(number: int, argument: int, tests: Sequence[tuple[int, int]]) -> list[_Step]:
    """For one call: refuse it when a test of its argument holds, else allow it; other calls go on below."""
    body: list[_Step] = [(_LOAD, 0, 0, argument)]
    for test, value in tests:
        body += _return_when(test, value, _EPERM)
    body.append((_RETURN, 0, 0, _ALLOW))
    return [(_EQUAL, 0, len(body), number), *body]
