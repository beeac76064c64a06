"""Facts and work on NATS JetStream."""
