"""``python -m tests.server``: install InvokeAI for the tests, or run one by hand or for one command."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.server.cache import CacheError
from tests.server.models import ModelInstallError, make_models
from tests.server.process import Server, ServerError
from tests.server.provision import ProvisionError, provision
from tests.server.versions import DEFAULT_VERSION, known_versions


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.server", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    prepare = verbs.add_parser("provision", help="install InvokeAI and make the tiny models, once per machine")
    run = verbs.add_parser("run", help="run a server until Ctrl-C")
    around = verbs.add_parser("with", help="run a server for as long as COMMAND runs, with INVOKEAI_URL set for it")
    around.add_argument("command", nargs="+", metavar="COMMAND")
    for verb in (prepare, run, around):
        verb.add_argument("--version", choices=known_versions(), default=DEFAULT_VERSION)
    run.add_argument("--port", type=int, help="default: any free one")
    run.add_argument("--root", type=Path, help="default: a fresh one, removed at the end")
    run.add_argument("--models", action="store_true", help="with the tiny models installed")
    run.add_argument("--multiuser", action="store_true", help="with accounts, and an administrator set up")
    args = parser.parse_args(arguments)
    try:
        if args.verb == "provision":
            print(provision(args.version))
            make_models(args.version)
        elif args.verb == "run":
            serve(args)
        else:
            return run_command(args.version, args.command)
    except (CacheError, ProvisionError, ModelInstallError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def serve(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, _as_interrupt)
    with Server.start(
        version=args.version, models=args.models, multiuser=args.multiuser, root=args.root, port=args.port
    ) as server:
        print(f"INVOKEAI_URL={server.url}", flush=True)
        print(f"log: {server.log_path}", file=sys.stderr)
        for model in server.models:
            print(f"model: {model.name} ({model.base} {model.type}) {model.key} {model.hash}", file=sys.stderr)
        if server.admin:
            print(f"administrator: {server.admin.email} {server.admin.password}", file=sys.stderr)
        while server.running:
            time.sleep(0.5)
        print(f"error: the server ended by itself\n{server.log_tail()}", file=sys.stderr)


def run_command(version: str, command: list[str]) -> int:
    """Exit code of a command that ran beside a server of its own."""
    with Server.start(version=version) as server:
        return subprocess.run(command, env={**os.environ, "INVOKEAI_URL": server.url}, check=False).returncode


def _as_interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
