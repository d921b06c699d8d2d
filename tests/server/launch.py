"""Start InvokeAI and end with the process that started it. Runs in a server's own environment.

    python launch.py [--fast] [--temporary] --root DIR

Standard input is a pipe that nobody writes to: it ends when the process that holds the other end is gone, even if that
was killed. Then this one kills its whole group at once, and with ``--temporary`` removes DIR first.
"""

import argparse
import gc
import importlib.metadata
import os
import shutil
import signal
import sys
import threading


def freeze_survivors(phase: str, info: dict[str, int]) -> None:
    """A ``gc`` callback: what has survived a full collection is left out of all later ones.

    InvokeAI collects before every queue item, half a second each time for the million objects that its imports have
    left. With this the first collection takes that long and the others a few milliseconds.
    """
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()


def end_with_parent(temporary_root: str | None) -> None:
    while os.read(0, 1024):
        pass
    if temporary_root:
        shutil.rmtree(temporary_root, ignore_errors=True)
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--temporary", action="store_true")
    parser.add_argument("--root", required=True)
    args = parser.parse_args()
    watcher = threading.Thread(target=end_with_parent, args=(args.root if args.temporary else None,), daemon=True)
    watcher.start()
    if args.fast:
        gc.callbacks.append(freeze_survivors)
    sys.argv[:] = ["invokeai-web", "--root", args.root]
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="invokeai-web")
    entry.load()()


if __name__ == "__main__":
    main()
