from tests.integration.hypervisor.conftest import lab
from tests.support.pool import pool

__all__ = ["lab", "pool"]
