import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from services.chassis import files
from services.chassis.clock import FakeClock
from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput
from services.chassis.pki import create_authority, issue
from services.chassis.tls import TlsFiles, channel_credentials, nats_context


def test_an_authority_is_made_once_and_never_replaced(tmp_path: Path) -> None:
    first = create_authority(tmp_path).read_bytes()
    assert first == create_authority(tmp_path).read_bytes()
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}


def test_a_certificate_names_the_service_its_hosts_and_this_machine(tmp_path: Path) -> None:
    create_authority(tmp_path)
    cert, _ = issue(tmp_path, "catalog", ["catalog.lab", "10.0.0.7"])
    parsed = x509.load_pem_x509_certificate(cert.read_bytes())
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert parsed.subject.rfc4514_string() == "CN=catalog"
    assert set(names.get_values_for_type(x509.DNSName)) == {"catalog", "catalog.lab", "localhost"}
    assert {str(a) for a in names.get_values_for_type(x509.IPAddress)} == {"10.0.0.7", "127.0.0.1"}
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["xenkeep://service/catalog"]


def test_issuing_again_keeps_a_good_certificate_and_replaces_one_that_is_not(tmp_path: Path) -> None:
    clock = FakeClock()
    create_authority(tmp_path, clock)
    cert, key = issue(tmp_path, "mover", ["a"], clock)
    first, first_key = cert.read_bytes(), key.read_bytes()
    issue(tmp_path, "mover", ["a"], clock)
    assert first == cert.read_bytes()
    issue(tmp_path, "mover", ["a", "b"], clock)
    second = cert.read_bytes()
    assert first != second
    clock_later = FakeClock(clock.now() + timedelta(days=780))
    issue(tmp_path, "mover", ["a", "b"], clock_later)
    assert second != cert.read_bytes()
    assert first_key == key.read_bytes()


def test_what_a_kill_between_key_and_certificate_leaves_is_completed(tmp_path: Path) -> None:
    create_authority(tmp_path)
    cert, key = issue(tmp_path, "mover")
    before = key.read_bytes()
    cert.unlink()
    (tmp_path / "ca.pem").unlink()
    create_authority(tmp_path)
    issue(tmp_path, "mover")
    assert before == key.read_bytes()
    nats_context(TlsFiles(tmp_path / "ca.pem", cert, key))


@pytest.mark.parametrize("name", ["", "ca", "../etc", "Upper", "a" * 64, "mover*", "-x"])
def test_a_name_that_could_be_a_path_or_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    create_authority(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        issue(tmp_path, name)
    assert caught.value.reason == "SERVICE_NAME_INVALID"


def test_issuing_needs_an_authority_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        issue(tmp_path, "mover")
    assert caught.value.reason == "AUTHORITY_MISSING"


def test_a_damaged_authority_is_reported_and_not_replaced(tmp_path: Path) -> None:
    ca = create_authority(tmp_path)
    ca.write_bytes(ca.read_bytes()[:100])
    with pytest.raises(DataLoss) as caught:
        create_authority(tmp_path)
    assert caught.value.metadata == {"file": str(ca)}


def test_only_one_of_two_writers_creates_a_file_and_no_half_is_ever_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x"
    assert files.write_new(target, b"first")
    assert not files.write_new(target, b"second")
    assert target.read_bytes() == b"first"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.chassis.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(target, b"third")
    assert target.read_bytes() == b"first"
    assert [target] == list(tmp_path.iterdir())


def test_nats_is_spoken_to_with_tls_1_2_or_newer_and_a_checked_name(tmp_path: Path) -> None:
    ca = create_authority(tmp_path)
    context = nats_context(TlsFiles(ca, *issue(tmp_path, "mover")))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_files_that_are_missing_or_do_not_fit_are_named(tmp_path: Path) -> None:
    ca = create_authority(tmp_path)
    cert, key = issue(tmp_path, "mover")
    _, other_key = issue(tmp_path, "catalog")
    with pytest.raises(FailedPrecondition) as caught:
        nats_context(TlsFiles(ca, cert, other_key))
    assert caught.value.reason == "TLS_FILES_INVALID"
    key.unlink()
    with pytest.raises(FailedPrecondition) as caught:
        channel_credentials(TlsFiles(ca, cert, key))
    assert caught.value.metadata == {"file": str(key)}
