"""How a fact of another service is told. One function per event type; None means that it is no news."""
