"""Files that people write: read, checked, complained about by name."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

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
        raise _wrong(path, what, "; ".join(_complaint(each, what) for each in error.errors())) from None


def _complaint(error: ErrorDetails, what: str) -> str:
    """In our words where pydantic's are for programmers."""
    text = {"extra_forbidden": "there is no such key", "missing": "it is missing"}.get(error["type"])
    return f"{'.'.join(map(str, error['loc'])) or what}: {text or error['msg'].removeprefix('Value error, ')}"


def _wrong(path: Path, what: str, why: str) -> Error:
    return Error(
        "InvalidInput", "FILE_INVALID", f"{path} is not a {what}: {why}.", "docs/configuration.md shows one."
    )
