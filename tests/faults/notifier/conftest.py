from tests.contract.notifier.conftest import authority, pki_dir

__all__ = ["authority", "pki_dir"]
