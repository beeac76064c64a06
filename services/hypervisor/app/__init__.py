"""What can be done. State is stored before it is acted on: every step may be the last before a crash."""
