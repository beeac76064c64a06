"""Files that are there whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from xenkeep.errors import Error


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written becomes ``path`` when the block ends well, readable by its owner alone.

    An older file stays until then; killed meanwhile, one that ends in ``.partial`` is left. Raises Error
    for what the file system refuses.
    """
    try:
        with NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False
        ) as file:
            try:
                yield file.file
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        raise Error(
            "InvalidInput",
            "FILE_NOT_WRITTEN",
            f"{path} cannot be written: {error.strerror}.",
            "Name a place that can be written and has room.",
        ) from None
