"""One InvokeAI server over HTTP and Socket.IO: client, errors, events, boards, images, models, queue, workflows."""

from invokeai_gen.server.client import AsyncInvokeAIClient, InvokeAIClient, default_client

__all__ = ["AsyncInvokeAIClient", "InvokeAIClient", "default_client"]
