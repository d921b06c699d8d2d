"""A real InvokeAI server for the tests and the demo: installed once per machine, started with a fresh root each time.

    with Server.start(models=True) as server:
        print(server.url, [model.name for model in server.models])

From a shell: ``python -m tests.server run --models``. Uses the standard library only; what runs inside the server's own
environment is ``launch.py``, ``tiny_models.py`` and ``torchvision_operators.py``.
"""

from tests.server.process import Account, Server, ServerError
from tests.server.provision import ProvisionError
from tests.server.versions import DEFAULT_VERSION

__all__ = ["DEFAULT_VERSION", "Account", "ProvisionError", "Server", "ServerError"]
