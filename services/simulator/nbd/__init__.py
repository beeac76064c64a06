"""Disks over the network block device protocol: as xapi-nbd serves them, and as a guest would write them."""
