"""grpc.aio as Xenkeep speaks it: mutual TLS, deadlines, one error shape, traces."""
