"""Plans become Python: names, annotations, module text, and a package on disk."""

from invokeai_gen.codegen.changes import Change, changes
from invokeai_gen.codegen.folder import OutputFolderError
from invokeai_gen.codegen.names import PythonIdentifier, assign_names, module_names
from invokeai_gen.codegen.writer import ModuleReport, Report, generate

__all__ = [
    "Change",
    "ModuleReport",
    "OutputFolderError",
    "PythonIdentifier",
    "Report",
    "assign_names",
    "changes",
    "generate",
    "module_names",
]
