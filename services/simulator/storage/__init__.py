"""Simulated storage repositories: copy-on-write disk chains, changed-block logs, disk formats."""
