"""What takes how much room in a repository."""
