"""How a prune is asked for where its steps are counted: one after another."""

from dataclasses import replace
from typing import Final

from tests.unit.repository.world import NOW as AT_ONCE

NOW: Final = replace(AT_ONCE, workers=1)
PATIENT: Final = replace(NOW, patience_seconds=3600)
"""Who writes is waited for."""
