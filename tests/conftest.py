"""Fixtures every test may ask for."""

from tests.support.nats import nats_server
from tests.support.postgres import postgres_url
from tests.support.seaweed import seaweed

__all__ = ["nats_server", "postgres_url", "seaweed"]
