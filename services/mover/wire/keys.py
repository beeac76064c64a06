"""Keys of repositories, and reports of probes."""

from google.protobuf.duration_pb2 import Duration
from xenkeep.mover.v1 import repository_pb2

from services.chassis.config import Secret
from services.chassis.errors import InvalidInput
from services.mover.domain.repository import Key
from services.mover.repository import EpochUse
from services.mover.repository.probing import ProbeReport

_KINDS = {
    "passphrase": repository_pb2.RepositoryKey.KIND_PASSPHRASE,
    "recovery": repository_pb2.RepositoryKey.KIND_RECOVERY,
}


def key_to_proto(key: Key) -> repository_pb2.RepositoryKey:
    return repository_pb2.RepositoryKey(
        key_id=key.key_id,
        kind=_KINDS.get(key.kind, repository_pb2.RepositoryKey.KIND_UNSPECIFIED),
        label=key.label,
        in_use=key.in_use,
    )


def new_key(request: repository_pb2.AddRepositoryKeyRequest) -> Secret | None:
    """The passphrase asked for, None for a recovery key; raises InvalidInput for both at once."""
    if request.recovery and (request.passphrase or request.use):
        raise InvalidInput(
            "A recovery key is made here and is not what movers open a repository with.",
            reason="KEY_INVALID",
            hint="Ask for a recovery key alone, or for a passphrase.",
        )
    return None if request.recovery else Secret(request.passphrase)


def epoch_to_proto(use: EpochUse) -> repository_pb2.RepositoryEpoch:
    return repository_pb2.RepositoryEpoch(
        epoch=use.epoch, pack_count=use.packs, pack_bytes=use.pack_bytes, current=use.current
    )


def report_to_proto(report: ProbeReport) -> repository_pb2.ProbeRepositoryResponse:
    ahead = None
    if report.clock_ahead is not None:
        ahead = Duration()
        ahead.FromTimedelta(report.clock_ahead)
    return repository_pb2.ProbeRepositoryResponse(
        url=report.location,
        findings=[
            repository_pb2.ProbeFinding(
                check=finding.check,
                verdict=repository_pb2.ProbeFinding.Verdict.Value(f"VERDICT_{finding.verdict.name}"),
                message=finding.message,
            )
            for finding in report.findings
        ],
        write_bytes_per_second=report.write_rate,
        read_bytes_per_second=report.read_rate,
        clock_ahead_duration=ahead,
    )
