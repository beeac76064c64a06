"""What the operator of the notifier chooses."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.chassis.config import BaseConfig, option


@dataclass(frozen=True, kw_only=True)
class NotifierConfig(BaseConfig):
    """Where channels find their files, and how long the record of deliveries is kept."""

    channel_files_dir: Path | None = field(
        default=None,
        metadata=option(
            "directory with the password and certificate files that channels may name;"
            " <data_dir>/files if left out"
        ),
    )
    hostname: str | None = field(
        default=None,
        metadata=option("what we call ourselves to syslog and mail servers; this machine's name if left out"),
    )
    keep_deliveries: timedelta = field(
        default=timedelta(days=90), metadata=option("how long deliveries that ended stay listed")
    )

    @property
    def channel_files(self) -> Path:
        """The one directory channels may name files of."""
        return self.channel_files_dir or self.data_dir / "files"
