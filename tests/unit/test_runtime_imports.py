"""What importing the runtime loads."""

import subprocess
import sys

HEAVY = ("httpx", "socketio", "engineio", "aiohttp", "tenacity", "PIL", "rich", "click", "jinja2", "black")


def test_the_runtime_loads_nothing_heavy_before_a_request_is_made() -> None:
    code = (
        "import sys, invokeai_gen\n"
        "for name in invokeai_gen.__all__: getattr(invokeai_gen, name)\n"
        "invokeai_gen.InvokeAIClient('http://localhost:9')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]", loaded.stdout
