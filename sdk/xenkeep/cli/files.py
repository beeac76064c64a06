"""Files that people write: read, checked, complained about by name."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from xenkeep.errors import Error

ModelT = TypeVar("ModelT", bound="FileModel")


class FileModel(BaseModel):
    """A YAML file with exactly these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read(path: Path, model: type[ModelT], what: str) -> ModelT:
    """Read ``path`` as ``model``; raises Error InvalidInput with every complaint in one sentence."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(path, what, str(error.strerror)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(path, what, " ".join(str(error).split())) from None
    if not isinstance(data, dict):
        raise _wrong(path, what, "it does not hold keys and values")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        complaints = [
            f"{'.'.join(map(str, each['loc'])) or what}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise _wrong(path, what, "; ".join(complaints)) from None


def _wrong(path: Path, what: str, why: str) -> Error:
    return Error(
        "InvalidInput", "FILE_INVALID", f"{path} is not a {what}: {why}.", "docs/configuration.md shows one."
    )
