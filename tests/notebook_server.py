"Runs notebooks as tests in forks of one process that has imported everything: imports take longer than most notebooks"
import atexit
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def import_everything():
    "Every module of the package, and what notebooks import beside it"
    import sdf_dino
    for module in pkgutil.walk_packages(sdf_dino.__path__, "sdf_dino."):
        if "_modidx" not in module.name: import_module(module.name)
    for name in ("fastcore.test", "k3d", "matplotlib.pyplot", "pyvista", "IPython", "pandas"): import_module(name)


def run_notebook(path):
    "In a fork: whether a notebook ran to its end"
    from nbdev.config import get_config
    from nbdev.test import test_nb
    os.chdir(ROOT / "nbs")
    config = get_config()
    return test_nb(Path(path), skip_flags=config.tst_flags.split(), basepath=config.config_path)[0]


def in_fork(request, log):
    "The life of a fork; never returns"
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2): os.dup2(log.fileno(), stream)
    os.environ.update(request["env"])
    code = 1
    try: code = 0 if run_notebook(request["path"]) else 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


def wait_for(pid, seconds):
    "Exit status of a fork; it is killed with its children when it takes too long"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return os.waitstatus_to_exitcode(status)
        time.sleep(.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGKILL


def serve():
    "Read requests {path, env, seconds}, one a line, and answer each with {code, log}"
    import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as log:
            pid = os.fork()
            if not pid: in_fork(request, log)
            code = wait_for(pid, request["seconds"])
            log.seek(0)
            text = log.read().decode(errors="replace")
        print(json.dumps({"code": code, "log": text[-6000:]}), flush=True)


if __name__ == "__main__": serve()
