"""What can be done: tell of facts, look after channels, carry deliveries."""
