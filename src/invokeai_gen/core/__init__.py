"""Every rule of the project, once, as pure functions and plain data: no I/O, no asyncio."""
