"""Commands that show what is in a workflow."""
