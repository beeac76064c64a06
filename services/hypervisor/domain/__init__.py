"""What is true of pools, VMs, backup sources and restore targets: values and pure functions."""
