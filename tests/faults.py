"Kills a command at random moments, then lets it run to its end"
import os
import random
import signal
import subprocess
import time


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


def wait_until(condition, process, pause=.01):
    "Wait until a condition holds or a process has ended; whether it still runs"
    while process.poll() is None and not condition(): time.sleep(pause)
    return process.poll() is None


def count_files(folder, pattern="*"):
    "Number of complete files below a folder; those in writing begin with a dot"
    return sum(not path.name.startswith(".") for path in folder.rglob(pattern) if path.is_file())


def kill_and_resume(command, kills, seed=0, env=None, progress=lambda: 0, span=2.,
                    number=signal.SIGKILL):
    """Start a command `kills` times and end it by a signal: now at a random moment of its first `span`
    seconds, now soon after `progress()` has grown. Then let it run to its end. Returns its output and
    how many of the kills met a running process; fails unless the last run has exit code 0"""
    rng, met = random.Random(seed), 0
    for kill in range(kills):
        before, process = progress(), start(command, env)
        if kill % 2: wait_until(lambda: progress() > before, process)
        end = time.monotonic() + rng.uniform(0, span / 10 if kill % 2 else span)
        met += wait_until(lambda: time.monotonic() > end, process)
        output = stop(process, number)
        assert process.returncode in (0, -number, 128 + number), output
    last = start(command, env)
    output = last.communicate()[0]
    assert last.returncode == 0, output
    return output, met
