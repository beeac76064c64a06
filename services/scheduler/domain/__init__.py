"""What is true of policies, runs and their tasks: values and pure functions."""
