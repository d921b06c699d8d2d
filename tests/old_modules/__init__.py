"""Modules as invokeai-gen 0.1.0 generated them."""
