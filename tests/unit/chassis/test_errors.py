import grpc
from xenkeep import status

from services.chassis import errors


def test_every_kind_of_error_has_exactly_one_row_in_the_table() -> None:
    assert sorted(errors.KINDS) == sorted(row.kind for row in status.TABLE)
    assert sorted(leaf.__name__ for leaf in errors.XenkeepError.__subclasses__()) == sorted(errors.KINDS)


def test_codes_and_exit_codes_are_unique_and_leave_success_and_three_free() -> None:
    assert len(status.TABLE) == len({row.code for row in status.TABLE})
    exits = {row.exit_code for row in status.TABLE}
    assert len(status.TABLE) == len(exits)
    assert not exits & {0, 3}


def test_codes_without_a_kind_are_read_as_the_nearest_one() -> None:
    assert status.of_code(grpc.StatusCode.UNKNOWN).kind == "Internal"
    assert status.of_code(grpc.StatusCode.UNIMPLEMENTED).kind == "FailedPrecondition"
    assert status.of_code(grpc.StatusCode.OUT_OF_RANGE).kind == "InvalidInput"
    assert status.of_code(grpc.StatusCode.NOT_FOUND).kind == "NotFound"


def test_an_error_speaks_its_message_and_the_way_out() -> None:
    error = errors.NotFound(
        "No pool lab.", reason="POOL_UNKNOWN", hint="List pools.", metadata={"pool": "lab"}
    )
    assert str(error) == "No pool lab. List pools."
    assert repr(error) == "NotFound(POOL_UNKNOWN: 'No pool lab.')"
    assert error.metadata == {"pool": "lab"}
