"""What ``init`` leaves in the volumes."""

import json
import ssl
from pathlib import Path

import pytest
from xenkeep.home import IDENTITIES, SERVICES, Home
from xenkeep.local.nats_config import authorization

from deploy.certificates import InitConfig, hand_out, main
from services.chassis import files


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_each_gets_its_own_key_and_nobody_the_authoritys(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig())
    for name in (*SERVICES, "nats"):
        folder = tmp_path / name
        users = {"authorization.conf"} if name == "nats" else set()
        assert {"ca.pem", "cert.pem", "key.pem", *users} == {path.name for path in folder.iterdir()}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        assert all(0o600 == path.stat().st_mode & 0o777 for path in folder.iterdir())
    keys = [(tmp_path / name / "key.pem").read_bytes() for name in (*SERVICES, "nats")]
    secret = (tmp_path / "authority" / "ca.key").read_bytes()
    assert len(keys) == len({*keys, secret}) - 1


def test_a_client_outside_gets_a_home_with_the_published_ports(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig(site="north", public_host="backup.example", mover_port=9102))
    home = Home.open(tmp_path / "admin")
    assert "north" == home.site
    assert "tls://backup.example:4222" == home.nats_url
    assert "backup.example:9102" == home.addresses["mover"]
    assert all(file.exists() for file in home.certificate("admin"))


def test_an_address_of_ip_version_6_stands_in_brackets(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig(public_host="2001:db8::7"))
    assert "[2001:db8::7]:7101" == Home.open(tmp_path / "admin").addresses["hypervisor"]


def test_repeating_it_changes_nothing(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig())
    before = contents(tmp_path)
    hand_out(tmp_path, InitConfig())
    assert before == contents(tmp_path)


def test_another_public_host_means_other_certificates_for_the_same_keys(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig())
    before = contents(tmp_path)
    hand_out(tmp_path, InitConfig(public_host="backup.example"))
    after = contents(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert {f"{name}/cert.pem" for name in (*SERVICES, "nats")} < changed
    assert not any(name.endswith(("key.pem", ".key", "ca.pem")) for name in changed)


@pytest.mark.parametrize("killed_after", range(0, 30, 4))
def test_a_run_that_was_killed_is_completed_by_the_next(
    tmp_path: Path, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    steps, write = iter(range(killed_after)), files.replace

    def replace(path: Path, content: bytes) -> None:
        if next(steps, None) is None:
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", replace)
        with pytest.raises(Killed):
            hand_out(tmp_path, InitConfig())
    hand_out(tmp_path, InitConfig())
    for name in (*SERVICES, "nats"):
        folder = tmp_path / name
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(folder / "cert.pem", folder / "key.pem")
        assert (folder / "key.pem").read_bytes() == (tmp_path / "authority" / f"{name}.key").read_bytes()


def test_a_wrong_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main({"XENKEEP_MOVER_PORT": "many"}, tmp_path)
    assert "XENKEEP_MOVER_PORT" in capsys.readouterr().err


def test_nats_knows_what_the_movers_of_this_site_take(tmp_path: Path) -> None:
    hand_out(tmp_path, InitConfig(site="north"))
    text = (tmp_path / "nats" / "authorization.conf").read_text("utf-8")
    assert authorization("north") == text
    assert "$JS.API.CONSUMER.MSG.NEXT.XENKEEP_WORK.work-north-transfer" in text


@pytest.mark.parametrize("site", ["a.b", ">", 'x"', "with space"])
def test_a_site_that_is_more_than_a_name_gets_no_permissions(
    tmp_path: Path, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == main({"XENKEEP_SITE": site}, tmp_path)
    assert "cannot be part of a subject" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_every_identity_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main({}, tmp_path)
    said = capsys.readouterr().out
    assert all(name in said for name in IDENTITIES)
    assert json.loads((tmp_path / "admin" / "xenkeep.json").read_text())["services"].keys() == set(SERVICES)
