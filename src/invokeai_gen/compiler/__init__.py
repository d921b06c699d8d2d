"""What a workflow becomes when it meets the node types of a server: a plan, or the reasons why there is none."""

from invokeai_gen.compiler.compile import Compilation, compile_workflow, plan_of
from invokeai_gen.compiler.readiness import NotReadyError, Reason, reasons_of

__all__ = ["Compilation", "NotReadyError", "Reason", "compile_workflow", "plan_of", "reasons_of"]
