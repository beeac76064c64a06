"""Xenkeep from the outside: ``Client`` for questions and commands, ``events`` for facts.

>>> with xenkeep.Client() as client:                       # doctest: +SKIP
...     run = client.runs.start_policy("nightly")
...     for state in client.runs.watch(run.name):
...         print(state.state)
"""

from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.home import Home

__all__ = ["Client", "Error", "Home"]
