"""The calls that mean more than reading or writing the database, each with its function."""
