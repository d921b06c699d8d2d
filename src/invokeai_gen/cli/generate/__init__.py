"""Commands that write and check generated modules."""
