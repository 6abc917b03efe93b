"""Start a program that refuses to run as root, without making a user and without widening any folder's mode.

Run as `python -I unprivileged.py PARENT_PID SIGNAL FOLDER PROGRAM ARGUMENT...`; the process becomes PROGRAM.
PARENT_PID and SIGNAL: the kernel sends SIGNAL when that parent dies; 0 0 for a child that its parent waits for.
FOLDER: the one tree the program must own.

As root it enters a user namespace of its own in which root's files belong to `nobody`: PROGRAM sees an ordinary user
and the disk sees root without privileges. Where the machine allows no such namespace (many containers), it becomes
`nobody` truly, owns FOLDER, and keeps the one privilege that lets it pass the folders above (CAP_DAC_OVERRIDE).

Rule: only the standard library, and a process of its own: a process with threads may not enter a user namespace.
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Final

CLONE_NEWUSER: Final = 0x1000_0000  # sched.h
PR_SET_PDEATHSIG: Final = 1  # prctl.h
PR_SET_KEEPCAPS: Final = 8
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_OVERRIDE: Final = 1  # capability.h
CAPABILITY_VERSION_3: Final = 0x2008_0522
NOBODY: Final = 65534  # the kernel's overflow uid, and `nobody` on every Linux distribution
EXIT_CANNOT: Final = 126  # as shells say: found and not executable


def _libc(function: str, *arguments: object) -> None:
    """Call a libc function that returns 0 on success; OSError otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def enter_user_namespace() -> None:
    """Become `nobody` in a new user namespace in which our own files are nobody's; OSError where it is not allowed."""
    maps = (("setgroups", "deny"), ("uid_map", f"{NOBODY} {os.geteuid()} 1"), ("gid_map", f"{NOBODY} {os.getegid()} 1"))
    _libc("unshare", CLONE_NEWUSER)
    for name, line in maps:
        Path("/proc/self", name).write_text(line, encoding="ascii")


def become_nobody(folder: Path) -> None:
    """Give `folder` to nobody, become nobody, and keep CAP_DAC_OVERRIDE over the coming exec."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    _libc("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
    _libc("capset", header, sets)
    _libc("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def drop_root(folder: Path) -> None:
    """Stop being root in the best way the machine allows; SystemExit with a sentence when it allows none."""
    try:
        enter_user_namespace()
    except OSError as no_namespace:
        try:
            become_nobody(folder)
        except OSError as no_user:
            sys.exit(
                "The embedded data base does not run as root, and this machine lets root neither enter a user namespace"
                f" ({no_namespace}) nor become another user ({no_user}). Start Wattkeeper as an ordinary user, or name"
                " a data base with --database-url."
            )


def has_name() -> bool:
    """Tell whether the machine knows our user by name, as PostgreSQL wants; containers run under mere numbers."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def take_name() -> None:
    """Become `nobody`, who has a name, while the disk goes on seeing our number; SystemExit where it is not allowed."""
    try:
        enter_user_namespace()
    except OSError as no_namespace:
        sys.exit(
            f"The embedded data base wants a user with a name, user {os.geteuid()} has none, and this machine lets it"
            f" enter no user namespace ({no_namespace}). Add the user to /etc/passwd, or name a data base with"
            " --database-url."
        )


def main(arguments: list[str]) -> None:
    parent, number, folder, program, *rest = arguments
    if os.geteuid() == 0:
        drop_root(Path(folder))
    elif not has_name():
        take_name()
    if int(number):
        # After the change of user: the kernel forgets the wish when credentials change.
        _libc("prctl", PR_SET_PDEATHSIG, signal.Signals(int(number)), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the supervisor ended before the data base started")
    try:
        os.execv(program, [program, *rest])
    except OSError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT)


if __name__ == "__main__":
    main(sys.argv[1:])
