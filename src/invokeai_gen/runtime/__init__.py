"""What one run needs: workflow, runner, job, outputs, media, uploads, clean-up, progress."""

from typing import TYPE_CHECKING

from invokeai_gen.public_names import find_public as __getattr__  # noqa: F401

if TYPE_CHECKING:  # the address before 0.2, which generated modules and programs still name
    from invokeai_gen import *
