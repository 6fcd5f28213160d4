"""Makes this package see another operating system, and no other code: what it lacks is gone from the modules that the
package imports, and what it forbids is an error. Windows has no fork and no /proc, refuses some names, and neither
renames nor removes a file that is open; macOS has no /proc and no affinity"""
import builtins
import errno
import fcntl
import os
import re
import signal
import sys
from types import ModuleType

MODULES = {"win32": {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix"}, "darwin": set()}
_DARWIN = {"os": "sched_getaffinity sched_setaffinity posix_fadvise posix_fallocate memfd_create", "signal": ""}
_WINDOWS = {
    "os": _DARWIN["os"] + """ fork forkpty killpg getpgid setpgid getpgrp setsid getsid getuid geteuid getgid uname
        sysconf confstr ttyname nice wait wait3 wait4 waitid WNOHANG WIFSIGNALED statvfs register_at_fork mkfifo chown
        lchown pread pwrite preadv pwritev posix_spawn sync sendfile getloadavg lockf O_DIRECTORY O_NOFOLLOW O_CLOEXEC
        O_NONBLOCK O_SYNC ctermid fchdir fchmod fdatasync sched_yield getpriority openpty""",
    "signal": """SIGHUP SIGKILL SIGALRM SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGPIPE SIGBUS SIGXCPU
        alarm pause setitimer getitimer ITIMER_REAL pthread_kill pthread_sigmask sigwait siginterrupt"""}
MISSING = {"win32": {name: set(words.split()) for name, words in _WINDOWS.items()},
           "darwin": {name: set(words.split()) for name, words in _DARWIN.items()}}
_REFUSED = re.compile(r'.*[<>:"|?*\x00-\x1f].*|.*[. ]|(con|prn|aux|nul|(com|lpt)\d)(\..*)?', re.IGNORECASE)


class Seen(ModuleType):
    "A module as the package sees it"
    def __init__(self, real, missing, **values):
        self.__dict__.update(_real=real, _missing=missing, **values)

    def __getattr__(self, name):
        if name in self._missing: raise AttributeError(f"no {name} in {self._real.__name__} on this platform")
        return getattr(self._real, name)

    def __setattr__(self, name, value): setattr(self._real, name, value)


def fsync(number):
    "As on Windows, where no handle of a reader is flushed"
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY: raise OSError(errno.EBADF, "Bad file descriptor")
    os.fsync(number)


def open_(path, flags, *rest):
    "As on Windows, where a folder cannot be opened"
    if os.path.isdir(path): raise PermissionError(errno.EACCES, "Permission denied", path)
    return os.open(path, flags, *rest)


def _caller():
    "Name of the nearest module that called, the standard library left out"
    frame = sys._getframe(2)
    while frame:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in sys.stdlib_module_names or name == "__main__": return name
        frame = frame.f_back
    return ""


def _open_files():
    "What this process holds open, or has mapped into memory"
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    files = {os.readlink(link) for link in links if os.path.lexists(link)}
    with open("/proc/self/maps", encoding="utf-8") as maps: return files | {line.split(maxsplit=5)[-1].strip() for line in maps}


def _check(event, path, platform, writes):
    path = os.path.abspath(os.fsdecode(path))
    if event == "open" and path.startswith(("/proc/", "/sys/")): raise FileNotFoundError(errno.ENOENT, "No such file", path)
    if platform != "win32": return
    if event in ("os.rename", "os.remove") and path in _open_files(): raise PermissionError(errno.EACCES, "is open", path)
    refused = [name for name in path.split("/") if _REFUSED.fullmatch(name)]
    if writes and refused: raise OSError(errno.EINVAL, "Windows refuses this name", path)


def pretend(platform):
    "From now on, what this package imports is that of `platform`, win32 or darwin"
    values = {"name": "nt", "fsync": fsync, "open": open_} if platform == "win32" else {}
    seen = {"os": Seen(os, MISSING[platform]["os"], **values), "signal": Seen(signal, MISSING[platform]["signal"]),
            "sys": Seen(sys, set(), platform=platform)}
    real_import = builtins.__import__

    def import_there(name, globals=None, locals=None, fromlist=(), level=0):
        package = (globals or {}).get("__name__", "").partition(".")[0]
        if package != "sdf_dino" or level: return real_import(name, globals, locals, fromlist, level)
        if name in MODULES[platform]: raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        found = real_import(name, globals, locals, fromlist, level)
        return seen.get(found.__name__, found)

    def audit(event, arguments):
        if event not in ("open", "os.rename", "os.remove", "os.mkdir"): return
        if not _caller().startswith("sdf_dino."): return
        writes = event in ("os.rename", "os.mkdir") or event == "open" and set(str(arguments[1])) & set("wax+")
        for path in arguments[:2] if event == "os.rename" else arguments[:1]:
            if isinstance(path, (str, bytes)): _check(event, path, platform, writes)

    builtins.__import__ = import_there
    sys.addaudithook(audit)
