"""Every error that invokeai-gen raises on purpose descends from `InvokeAIGenError`."""


class InvokeAIGenError(Exception):
    """Root of all errors of this project; its text is meant for the person at the keyboard."""
