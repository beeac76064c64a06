"""The schema's history; the newest revision is what ``adapters/tables.py`` describes."""
