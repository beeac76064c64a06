"""What is true about notices, channels, rules and deliveries. Pure values and functions."""
