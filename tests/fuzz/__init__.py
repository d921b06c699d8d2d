"""Workflow and openapi files as an attacker would write them, and what must hold for every one of them."""
