"""Agents call workflows: an MCP server on the official SDK, with one tool for each workflow."""
