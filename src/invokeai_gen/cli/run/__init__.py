"""The command that runs a workflow, once or many times."""
