"""What is true of restore points: values and pure functions."""
