"""Everything on one machine: the home folder made, NATS and the services run and kept running."""
