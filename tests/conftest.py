"""Fixtures every test may ask for."""

from hypothesis import HealthCheck, settings

from tests.support.nats import nats_server
from tests.support.postgres import empty_database, fresh_database, postgres_url
from tests.support.scenario_marks import injections, pytest_collection_modifyitems
from tests.support.seaweed import seaweed

__all__ = [
    "empty_database",
    "fresh_database",
    "injections",
    "nats_server",
    "postgres_url",
    "pytest_collection_modifyitems",
    "seaweed",
]

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
