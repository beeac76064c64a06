"""How the notifier reaches the world: sinks (syslog, SMTP, SMPP), the database, the clock's worker."""
