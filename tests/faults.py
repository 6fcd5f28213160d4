"Programs in processes of their own, which can be killed at random moments and then run to their end"
import atexit
import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from multiprocessing import forkserver
from types import SimpleNamespace

from conftest import PATIENCE, ROOT

CLI = "from sdf_dino.cli.main import main; main()"      # the program behind the command `sdf_dino`


def start(command, env=None, cwd=None):
    "A command in a process group of its own; its output is read by `communicate`"
    return subprocess.Popen(
        [str(word) for word in command], env={**os.environ, **(env or {})}, cwd=cwd, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True)


def stop(process, number=signal.SIGKILL):
    "Send a signal to a process and wait for its end; its output, empty the second time"
    if process.poll() is None: process.send_signal(number)
    return "" if process.stdout.closed else process.communicate()[0]


@cache
def processes():
    "Starts processes as forks of one that has done `warm_up`, which takes longer than most programs"
    if "forkserver" not in multiprocessing.get_all_start_methods(): return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm_up"])
    with contextlib.chdir(ROOT / "tests"): forkserver.ensure_running()
    return context


def _run(code, arguments, cwd, env, output):
    "The life of such a process"
    if hasattr(os, "setsid"): os.setsid()
    for stream, path in zip((1, 2), output): os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
    os.chdir(cwd)
    os.environ.update(env)
    sys.argv = ["program", *arguments]
    try: exec(compile(code, "program", "exec"), {"__name__": "__main__"})
    finally: atexit._run_exitfuncs()


class Program:
    "A running program"
    def __init__(self, code, *arguments, cwd=ROOT, env=()):
        self.folder = tempfile.TemporaryDirectory()
        self.output = [f"{self.folder.name}/{name}" for name in ("stdout", "stderr")]
        for path in self.output: open(path, "w").close()
        words = [str(word) for word in arguments]
        self.process = processes().Process(target=_run, args=(code, words, str(cwd), env, self.output))
        self.process.start()

    def poll(self): return self.process.exitcode

    def send_signal(self, number):
        if self.poll() is None: os.kill(self.process.pid, number)

    def finish(self):
        "Wait for its end: `returncode`, `stdout` and `stderr`"
        self.process.join(PATIENCE)
        self.send_signal(signal.SIGTERM)
        self.process.join()
        stdout, stderr = [open(path, encoding="utf-8", errors="replace").read() for path in self.output]
        return SimpleNamespace(returncode=self.process.exitcode, stdout=stdout, stderr=stderr)


class Command:
    "The same for a command, with an interpreter of its own"
    def __init__(self, *words):
        self.process = start(words)
        self.poll, self.send_signal = self.process.poll, self.process.send_signal

    def finish(self):
        output = self.process.communicate()[0]
        return SimpleNamespace(returncode=self.process.returncode, stdout=output, stderr="")


def sdf_dino_command(*words, check=True, **options):
    "What `conftest.run` does for this command"
    done = Program(CLI, *words, **options).finish()
    if check: assert done.returncode == 0, done.stdout + done.stderr
    return done


def wait_until(condition, process, pause=.01):
    "Wait until a condition holds or a process has ended; whether it still runs"
    while process.poll() is None and not condition(): time.sleep(pause)
    return process.poll() is None


def count_files(folder, pattern="*"):
    "Number of complete files below a folder; those in writing begin with a dot"
    return sum(not path.name.startswith(".") for path in folder.rglob(pattern) if path.is_file())


def seconds_of(begin):
    "How long a program takes that nobody disturbs; `begin` starts it"
    began = time.monotonic()
    done = begin().finish()
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began


def kill_and_resume(begin, kills, span, progress, number=signal.SIGKILL):
    """Start a program `kills` times and end it by a signal: now at a random moment of its first `span`
    seconds, now soon after `progress()` has grown. Then let it run to its end. Returns how many of the
    kills met a running process; fails unless the last run has exit code 0"""
    rng, met = random.Random(0), 0
    for kill in range(kills):
        before, process = progress(), begin()
        if kill % 2: wait_until(lambda: progress() > before, process)
        end = time.monotonic() + rng.uniform(0, span / 10 if kill % 2 else span)
        met += wait_until(lambda: time.monotonic() > end, process)
        process.send_signal(number)
        done = process.finish()
        assert done.returncode in (0, -number, 128 + number), done.stdout + done.stderr
    seconds_of(begin)
    return met
