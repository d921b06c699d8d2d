"""Compile a loaded workflow against the node types of a server: to a plan, or to the reasons why it cannot run."""

from invokeai_gen.compiler.compile import Compilation, compile_workflow, plan_of
from invokeai_gen.compiler.readiness import NotReadyError, Reason, reasons_of

__all__ = ["Compilation", "NotReadyError", "Reason", "compile_workflow", "plan_of", "reasons_of"]
