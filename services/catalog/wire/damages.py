"""What movers found."""

from collections.abc import Iterable

from xenkeep.mover.v1 import transfer_pb2


def damages_by_point(damages: Iterable[transfer_pb2.Damage]) -> dict[str, str]:
    """Per point the sentences about it, each object once."""
    found: dict[str, dict[str, None]] = {}
    for damage in damages:
        for point_id in damage.point_ids:
            found.setdefault(point_id, {})[f"{damage.object}: {damage.message}"] = None
    return {point_id: "; ".join(sentences) for point_id, sentences in found.items()}
