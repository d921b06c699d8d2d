"""Typed Python modules from InvokeAI workflows.

The command `invokeai-gen` reads workflows exported from the InvokeAI GUI and writes one Python module for each;
`invokeai_gen.runtime` is the small library that those modules import.
"""

__version__ = "0.1.0"
