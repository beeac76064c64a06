"""How disks are read."""

from xenkeep.common.v1 import capture_pb2

from services.scheduler.domain.capture import DiskFailures, Reading, WithoutTracking


def reading_to_proto(reading: Reading) -> capture_pb2.ReadingOptions:
    """What is as it is by default is not said."""
    made = capture_pb2.ReadingOptions()
    if reading.without_tracking is not WithoutTracking.KEEP_SNAPSHOT:
        made.without_tracking = capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL
    if reading.disk_failures is not DiskFailures.FAIL:
        made.disk_failures = capture_pb2.ReadingOptions.DISK_FAILURES_SKIP
    return made


def reading_from_proto(reading: capture_pb2.ReadingOptions) -> Reading:
    """What is not chosen is as the contract says."""
    read_all = reading.without_tracking == capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL
    skip = reading.disk_failures == capture_pb2.ReadingOptions.DISK_FAILURES_SKIP
    return Reading(
        WithoutTracking.READ_ALL if read_all else WithoutTracking.KEEP_SNAPSHOT,
        DiskFailures.SKIP if skip else DiskFailures.FAIL,
    )
