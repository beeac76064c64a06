"""The ``xenkeep`` command: one file per noun, everything through ``xenkeep.Client``."""
