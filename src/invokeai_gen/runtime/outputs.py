"""`WorkflowOutputs`: the results of one finished queue item, by name. `output_methods` has what can be done with them."""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any

from invokeai_gen.loading import later
from invokeai_gen.server.errors import MissingOutputError

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.runtime.output_methods import OutputMethods
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.records import QueueItem
    from invokeai_gen.server.removal import Removal
    from invokeai_gen.server.uploads import Uploads
else:
    OutputMethods = object


@later(
    "invokeai_gen.runtime.output_methods",
    "OutputMethods",
    "item_id batch_id session_id timings batch_values input_values input_params user_outputs debug_outputs images nodes"
    " by_node every to_dict download_outputs cleanup_inputs cleanup_outputs cleanup_queue_item adownload_outputs"
    " acleanup_inputs acleanup_outputs acleanup_queue_item __repr__ _repr_html_ _online _with_roles",
)
class WorkflowOutputs(OutputMethods):
    """Base of every generated `Outputs`. The attributes of a subclass are the outputs of the workflow by name."""

    def __init__(
        self,
        plan: WorkflowPlan | None,
        item: QueueItem,
        client: AsyncInvokeAIClient | None = None,
        uploads: Uploads | None = None,
        params: WorkflowParams | None = None,
    ) -> None:
        # Loaded with the runner: this may be an event loop.
        from invokeai_gen.core.results import image_sizes, results_by_node
        from invokeai_gen.runtime.decoding import decode

        self._plan = plan
        self._client = client
        self._uploads = uploads
        self._params = params
        self.queue_item = item
        """The queue item itself."""
        self.cleanup: Removal | None = None
        """What `run(cleanup=…)` deleted; `None` without `cleanup`."""
        self._results = results_by_node(item.session)
        self._sizes = image_sizes(itertools.chain(*self._results.values()))
        self._named: dict[str, Any] = {}
        declared = inspect.get_annotations(type(self))
        for output in plan.outputs if plan is not None else ():
            is_raw = "NodeResult" in str(declared.get(output.name))  # a module of a version that knew fewer types
            results = self._results.get(output.node_id, ())
            found = [result if is_raw else decode(output, result, client, self._sizes) for result in results]
            if output.is_iterated or found:
                value = found if output.is_iterated else found[-1]
                self._named[output.node_id] = value
                if output.name:
                    self.__dict__[output.name] = value

    if not TYPE_CHECKING:  # type checkers would take it as leave to use any name

        def __getattr__(self, name):
            if not name.startswith("_"):
                for output in self._plan.outputs if self._plan is not None else ():
                    if output.name == name:
                        raise MissingOutputError(
                            f"{name!r}: the node {output.node_label or output.node_title!r} did not run in queue item "
                            f"{self.item_id}"
                        )
            raise MissingOutputError(f"{type(self).__name__!r} object has no attribute {name!r}")
