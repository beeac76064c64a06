"""Settings of the transport. Meanings: grpc include/grpc/impl/channel_arg_names.h; keepalive: grpc
doc/keepalive.md.
"""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_SIZES = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
]
CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    *_SIZES,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 10_000),
]
SERVER_OPTIONS: list[tuple[str, int | str]] = [
    *_SIZES,
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Two processes on one port would each get half of the calls; the second must fail instead.
    ("grpc.so_reuseport", 0),
]
