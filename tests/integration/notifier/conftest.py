from tests.contract.notifier.conftest import authority, channel_files, pki_dir, rsyslog

__all__ = ["authority", "channel_files", "pki_dir", "rsyslog"]
