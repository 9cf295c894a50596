"""The first process inside a long-lived bubblewrap: starts one command at a time, and ends all that it leaves behind.

Sent into the sandbox as text (`python -I -S -c`), so it imports nothing of ours and little else. It is process 1 of its
process id namespace. That makes it safe from its own commands and them bounded by it:

- no signal of theirs reaches it, not even SIGKILL and SIGSTOP; it cannot be traced, and its memory and descriptors
  cannot be reached (not dumpable);
- every process that loses its parent becomes its child, whatever session, group or environment it has;
- one `kill(-1)` of it ends every other process at once: the kernel lets no fork through that has not seen the signal.

What it is told and what it answers are messages on a socket that no command has. In: (words, environment, or None for
that of the command before) with the descriptor for the output, or END. Out: READY when all is clean (the first time
with the way out, where there is one); when a command has ended its errno (it could not start), wait status, and the
limit that ended it.

It leaves, and with it all inside, when the other side closes the socket, and when something is amiss: what a command
left in shared memory, a priority or a set of processors that is not the one it began with.

Source: https://man7.org/linux/man-pages/man7/pid_namespaces.7.html; https://man7.org/linux/man-pages/man2/kill.2.html
"""

# pathlib, contextlib, socket and signal would be its largest imports. S302: only we write to its socket.
# ruff: noqa: PTH123, PTH208, S302, SIM105

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import ctypes
import marshal
import os
import resource
import select
import sys

READY = b"ready"
END = b"end"
TOO_MANY_PROCESSES = b"processes"
TOO_MUCH_MEMORY = b"memory"

_PR_SET_NAME, _PR_SET_DUMPABLE = 15, 4
_NAME = b"walls"
_MESSAGE_BYTES = 1 << 20
_CLOSE_ON_EXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_LOOK_MS = 200
"""How often processes and memory are counted while a command runs."""
_SHARED = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main(descriptor: int, most_processes: int, most_memory_bytes: int, port: int) -> None:
    """Serve the socket until it is closed; `port` 0: no way out."""
    _be_untouchable()
    threads = 4 * most_processes  # the kernel counts threads; for root it does not count
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 1024)
    control = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    before = _own_state()
    environment: dict[bytes, bytes] = {}
    way_out = _way_out(port) if port else None
    while _own_state() == before and not _left_behind():
        if way_out is None:
            control.send(READY)
        else:
            number = way_out.fileno().to_bytes(4, sys.byteorder)
            control.sendmsg([READY], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
            way_out.close()
            way_out = None
        message = END
        while message == END:  # one that came too late: that command has ended
            message, passed, _, _ = control.recvmsg(_MESSAGE_BYTES, 64, _CLOSE_ON_EXEC)
        if not message:
            return
        words, changed = marshal.loads(message)
        environment = environment if changed is None else changed
        answer = _run(
            control,
            words,
            environment,
            int.from_bytes(passed[0][2][:4], sys.byteorder),
            most_processes,
            most_memory_bytes,
        )
        control.send(b"%d %d %s" % answer)


def _run(
    control: socket.socket,
    words: list[bytes],
    environment: dict[bytes, bytes],
    output: int,
    most_processes: int,
    most_memory_bytes: int,
) -> tuple[int, int, bytes]:
    """Run one command to its end; (errno when it could not start, wait status, which limit ended it)."""
    try:
        child = os.posix_spawn(
            words[0],
            words,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigdef=_IGNORED_BY_PYTHON,
        )
    except OSError as error:
        return error.errno or -1, 0, b""
    finally:
        os.close(output)
    reason = _until_it_ends(control, child, most_processes, most_memory_bytes)
    return 0, _end_all(child), reason


def _until_it_ends(control: socket.socket, child: int, most_processes: int, most_memory_bytes: int) -> bytes:
    """Wait for the command, for word to end it, or for it to grow too large."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(control, select.POLLIN)
    try:
        while not (events := poll.poll(_LOOK_MS)):
            processes, memory_bytes = _size()
            if processes > most_processes:
                return TOO_MANY_PROCESSES
            if memory_bytes > most_memory_bytes:
                return TOO_MUCH_MEMORY
        if any(descriptor == control.fileno() for descriptor, _ in events):
            control.recv(_MESSAGE_BYTES)  # END, or nothing: then the next read says so again
        return b""
    finally:
        os.close(ended)


def _size() -> tuple[int, int]:
    """How many other processes there are, and how much memory of their own they hold."""
    pages = processes = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            processes += 1
            try:
                with open(f"/proc/{name}/statm", "rb", buffering=0) as file:
                    fields = file.read(200).split()
            except OSError:  # it has just ended
                continue
            pages += int(fields[1]) - int(fields[2])
    return processes, pages * os.sysconf("SC_PAGESIZE")


def _end_all(child: int) -> int:
    """Kill every other process and wait until none is left; the wait status of the command itself."""
    found = 0
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return found
        if pid == child:
            found = status


def _left_behind() -> bool:
    """Whether there is something in memory that outlives its process."""
    if os.listdir("/dev/shm"):  # noqa: S108
        return True
    for path in _SHARED:
        with open(path, "rb", buffering=0) as file:
            if file.read(4096).count(b"\n") > 1:  # below its header
                return True
    return False


def _way_out(port: int) -> socket.socket:
    """A socket that listens in this network: whoever gets it answers from outside."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _own_state() -> tuple[int, frozenset[int], int]:
    """What another process of the same user may change about us, and commands would inherit."""
    return os.getpriority(os.PRIO_PROCESS, 0), frozenset(os.sched_getaffinity(0)), os.sched_getscheduler(0)


def _be_untouchable() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as process 1: not delivered
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, _NAME, 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:  # fields 48 and 49: where our command line lies
        fields = file.read().rpartition(b")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, _NAME, len(_NAME))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:5]))
