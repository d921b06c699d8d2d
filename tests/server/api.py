"""One JSON call to a server on this machine: enough to see that it lives and to set it up."""

import json
import urllib.request
from typing import Any

# No proxy, whatever the environment says: the server is on loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method: str, url: str, body: object = None, *, token: str | None = None, timeout: float = 30) -> Any:
    """Send ``body`` as JSON, return the answer's JSON. Raises ``urllib.error.HTTPError`` for 4xx and 5xx."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with _opener.open(request, timeout=timeout) as answer:
        return json.loads(answer.read() or b"null")
