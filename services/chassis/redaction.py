"""What must not be written down, wherever somebody puts it by mistake."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_SECRET_KEY = re.compile(
    r"password|passphrase|passwd|secret|token|session[-_]?(id|ref)|export[-_]?name|authorization|credential|cookie"
    r"|(api|private)[-_]?key",
    re.IGNORECASE,
)
_SECRET_TEXT = (
    (re.compile(r"OpaqueRef:[0-9A-Za-z-]+"), f"OpaqueRef:{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:session_id|password|passphrase|secret|token|export_?name)\s*[=:]\s*)[^\s&;,'\"]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=_.~-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(\w://[^\s:/@]*):[^\s/@]+@"), rf"\1:{MASK}@"),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
)


def redact(value: Any) -> Any:
    """A copy of ``value`` without secrets: by the names of keys, and by what secrets look like in text."""
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {key: MASK if _SECRET_KEY.search(str(key)) else redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))
