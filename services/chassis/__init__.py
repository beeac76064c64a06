"""What every service needs and none is about.

- ``errors`` the exception tree, the only module domain code may import
- ``ids``, ``clock`` identity and time as arguments
- ``quantities`` numbers and durations as people write them · ``files`` small files, whole or absent
- ``config`` the environment read once into frozen dataclasses; ``Secret``, ``BaseConfig``
- ``pki``, ``tls`` a small authority, and the credentials gRPC and NATS want
- ``rpc.server``, ``rpc.channel`` grpc.aio with mutual TLS, deadlines and errors both ways
- ``authority`` the command that makes certificates · ``sealing`` secrets at rest
- ``bell`` waking this process's workers after commits · ``paging`` page sizes and tokens
- ``sql`` ``Database`` and ``Transaction``; ``tables`` the outbox and inbox every schema has
- ``only_one`` one process of a service at a time, where two would do harm
- ``bus.*`` JetStream: subjects, CloudEvents, outbox and inbox, consumers, work queues, live tails
- ``telemetry``, ``metrics`` logs without secrets, traces, and the /metrics listener
- ``cancelled`` asked to end, and hearing it
- ``program``, ``serve`` ordered start and stop, and the composition every ``__main__`` shares
"""
