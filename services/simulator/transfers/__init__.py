"""Disks and VMs over HTTP: exports and imports."""
