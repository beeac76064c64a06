"""From a method name and its arguments to the function that answers."""
