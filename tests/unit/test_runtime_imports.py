"""What importing the runtime loads."""

import subprocess
import sys

HEAVY = ("httpx", "socketio", "engineio", "aiohttp", "PIL", "rich", "click", "jinja2", "black")


def test_the_runtime_loads_nothing_heavy_before_a_request_is_made() -> None:
    code = (
        "import sys, invokeai_gen\n"
        "for name in invokeai_gen.__all__: getattr(invokeai_gen, name)\n"
        "invokeai_gen.InvokeAIClient('http://localhost:9')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]", loaded.stdout


def test_a_submodule_is_not_taken_for_another_of_the_same_name() -> None:
    code = (
        "import invokeai_gen.errors\n"
        "from invokeai_gen.server import errors\n"
        "from invokeai_gen.handle import handle\n"
        "print(errors.__name__, handle.__name__)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["invokeai_gen.server.errors", "invokeai_gen.handle.handle"]


def test_help_of_an_async_method_that_is_not_loaded_shows_its_signature_and_docstring() -> None:
    code = (
        "import inspect, pydoc, sys\n"
        "from tests import plans\n"
        "method = plans.picture().aresume_sweep\n"
        "assert 'invokeai_gen.sweeps.many_runs' not in sys.modules\n"
        "assert inspect.iscoroutinefunction(method)\n"
        "print(pydoc.plain(pydoc.render_doc(method)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "async aresume_sweep(file: " in shown
    assert "Resume a sweep that was started with `file=`" in shown
