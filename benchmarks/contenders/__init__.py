"""Those who do a task, each in a process of its own: `python -m benchmarks.contenders.NAME TASK URL N FOLDER`."""
