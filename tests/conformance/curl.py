"""curl as a client: calls and transfers as a shell script makes them, byte by byte as curl means HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.integration.simulator.pools import MIB, PASSWORD

TIMEOUT_S = 60.0
ASKED = ("http_code", "http_version", "num_connects", "content_type", "size_download", "num_redirects")
_CALL = (
    "<methodCall><methodName>{}</methodName><params>{}</params></methodCall>",
    "<param><value><string>{}</string></value></param>",
)


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` without curl."""
    if shutil.which("curl") is None:
        raise Skip("curl is not installed")
    with running_pool(work_dir) as pool:
        script = Script(pool)
        calls(tally, script)
        transfers(tally, script)


class Script:
    """What a shell script would do, with a session. Addresses and secrets go by standard input."""

    def __init__(self, pool: RunningPool) -> None:
        self.pool = pool
        self.directory = pool.work_dir
        self.session = ""

    def curl(self, url: str, *options: str, config: str = "") -> tuple[bytes, dict[str, Any]]:
        """The body, and what curl says of the exchange."""
        body = self.directory / "body"
        body.unlink(missing_ok=True)
        told = "%{stdout}{" + ",".join(f'"{name}":"%{{{name}}}"' for name in ASKED) + "}\\n"
        command = ["curl", "-sS", "-k", "--config", "-", "-o", str(body), "-w", told, *options]
        done = subprocess.run(
            command,
            input=f'url = "{url}"\n{config}',
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"curl ends with {done.returncode}: {done.stderr.strip()}")
        return body.read_bytes() if body.exists() else b"", json.loads(done.stdout.splitlines()[-1])

    def url(self, path: str, **query: str) -> str:
        return f"https://{self.pool.address}{path}" + (f"?{urlencode(query)}" if query else "")

    def call(self, method: str, *params: str, path: str = "/") -> str:
        """The XML of the answer."""
        whole, one = _CALL
        call = self.directory / "call.xml"
        call.write_text(whole.format(method, "".join(map(one.format, params))), "utf-8")
        answer, told = self.curl(self.url(path), "--data-binary", f"@{call}", "-H", "Content-Type: text/xml")
        assert told["content_type"] == "text/xml", told
        return answer.decode()

    def value(self, method: str, *params: str) -> str:
        """The text of an answer that is one value."""
        answer = self.call(method, self.session, *params)
        assert "<value>Success</value>" in answer, answer
        found = re.search(r"<name>Value</name><value>([^<]*)</value>", answer)
        assert found, answer
        return found.group(1)

    def outcome(self, task: str) -> str:
        """The status of a task once it has ended."""
        while (status := self.value("task.get_status", task)) == "pending":
            pass  # a call takes long enough
        return status


def calls(tally: Tally, script: Script) -> None:
    for path in ("/", "/RPC2", "/xmlrpc"):
        with tally.check(f"XML-RPC on {path}"):
            answer = script.call("session.login_with_password", "root", PASSWORD, path=path)
            script.session = re.findall(r"OpaqueRef:[0-9a-f-]{36}", answer)[0]
    for version in ("1.0", "2.0"):
        with tally.check(f"JSON-RPC {version}"):
            call: dict[str, Any] = {"id": 7, "method": "pool.get_all", "params": [script.session]}
            if version == "2.0":
                call["jsonrpc"] = version
            body = script.directory / "call.json"
            body.write_text(json.dumps(call), "utf-8")
            text, told = script.curl(script.url("/jsonrpc"), "--data-binary", f"@{body}")
            assert told["content_type"] == "application/json"
            decoded = json.loads(text)
            assert decoded["id"] == 7
            assert decoded["result"][0].startswith("OpaqueRef:")
    with tally.check("two calls on one connection"):
        url = script.url("/")
        body = script.directory / "call.xml"
        command = [
            "curl",
            "-sS",
            "-k",
            "-w",
            "%{stderr}%{num_connects} ",
            "--data-binary",
            f"@{body}",
            url,
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        assert done.stderr.split() == ["1", "0"]
    for option, version in (("--http1.0", "1"), ("--http2", "1.1")):
        with tally.check(f"asked with {option} it answers in HTTP/{version}"):
            _, told = script.curl(
                script.url("/"), option, "--data-binary", f"@{script.directory / 'call.xml'}"
            )
            assert (told["http_code"], told["http_version"] in (version, "1.1")) == ("200", True), told
    for options in (("--tlsv1.3",), ("--tlsv1.2", "--tls-max", "1.2")):
        with tally.check(f"speaks TLS: {' '.join(options)}"):
            script.curl(script.url("/"), *options, "-X", "OPTIONS")
    with tally.check("does not speak TLS 1.1"):
        try:
            script.curl(script.url("/"), "--tlsv1.1", "--tls-max", "1.1", "-X", "OPTIONS")
        except AssertionError as error:
            assert "ends with 35" in str(error), error
        else:
            raise AssertionError("it does")
    with tally.check("the port without TLS"):
        address = f"http://{script.pool.hosts[0]}:{script.pool.http_port}/"
        body = script.directory / "call.xml"
        text, _ = script.curl(address, "--data-binary", f"@{body}")
        assert b"<methodResponse>" in text
    with tally.check("HEAD is not for xapi"):
        _, told = script.curl(script.url("/"), "-I")
        assert told["http_code"] == "501"


def transfers(tally: Tally, script: Script) -> None:
    content = os.urandom(3 * MIB) + bytes(5 * MIB)
    image = script.directory / "image.raw"
    image.write_bytes(content)
    disk = uuid = ""

    def query(**more: str) -> tuple[dict[str, str], str]:
        task = script.value("task.create", "curl", "")
        return {"session_id": script.session, "task_id": task, **more}, task

    with tally.check("finds a disk"):
        (vm,) = re.findall(
            r"<data><value>(OpaqueRef:[^<]+)</value></data>",
            script.call("VM.get_by_name_label", script.session, "db"),
        )
        vbds = re.findall(r"OpaqueRef:[0-9a-f-]{36}", script.call("VM.get_VBDs", script.session, vm))
        disks = [script.value("VBD.get_VDI", vbd) for vbd in vbds]
        disk = next(ref for ref in disks if ref != "OpaqueRef:NULL")
        uuid = script.value("VDI.get_uuid", disk)
    with tally.check("PUT of a file, which waits for 100-continue in vain"):
        parameters, task = query(vdi=disk, format="raw")
        _, told = script.curl(
            script.url("/import_raw_vdi", **parameters), "-T", str(image), "-H", "Expect: 100-continue"
        )
        assert (told["http_code"], script.outcome(task)) == ("200", "success")
    with tally.check("GET of the disk by its uuid brings it back"):
        parameters, task = query(vdi=uuid, format="raw")
        body, _ = script.curl(script.url("/export_raw_vdi/", **parameters))
        assert (body == content, script.outcome(task)) == (True, "success")
    with tally.check("a range is not heeded"):
        parameters, _ = query(vdi=uuid)
        body, told = script.curl(script.url("/export_raw_vdi", **parameters), "-r", "0-99")
        assert (told["http_code"], len(body)) == ("200", 8 * MIB)
    with tally.check("credentials instead of a session"):
        url = script.url("/export_metadata", uuid=script.value("VM.get_uuid", vm))
        body, _ = script.curl(url, config=f'user = "root:{PASSWORD}"\n')
        assert body.startswith(b"ova.xml")
    with tally.check("wrong credentials"):
        _, told = script.curl(script.url("/export_metadata", ref=vm), config='user = "root:wrong"\n')
        assert told["http_code"] == "401"
    with tally.check("a chunked upload of a disk is refused"):
        parameters, task = query(vdi=disk)
        options = ("-T", str(image), "-H", "Transfer-Encoding: chunked")
        _, told = script.curl(script.url("/import_raw_vdi", **parameters), *options)
        assert (told["http_code"], script.outcome(task)) == ("404", "failure")
    xva = script.directory / "vm.xva"
    with tally.check("GET of a VM"):
        parameters, task = query(ref=vm, use_compression="zstd")
        body, _ = script.curl(script.url("/export", **parameters))
        xva.write_bytes(body)
        assert script.outcome(task) == "success"
    with tally.check("PUT of the VM"):
        parameters, task = query()
        script.curl(script.url("/import", **parameters), "-T", str(xva))
        assert script.outcome(task) == "success"
    with tally.check("a chunked upload of a VM is refused"):
        parameters, task = query()
        options = ("-T", str(xva), "-H", "Transfer-Encoding: chunked")
        _, told = script.curl(script.url("/import", **parameters), *options)
        assert (told["http_code"], script.outcome(task)) == ("403", "failure")
    with tally.check("a disk of another host is fetched and sent by redirection"):
        answer = script.call("VDI.get_by_name_label", script.session, "local disk 0")
        (local,) = re.findall(r"<value>(OpaqueRef:[0-9a-f-]{36})</value>", answer)
        image.write_bytes(content[: 4 * MIB])
        parameters, task = query(vdi=local)
        _, told = script.curl(script.url("/import_raw_vdi", **parameters), "-L", "-T", str(image))
        assert (told["num_redirects"], script.outcome(task)) == ("1", "success")
        parameters, task = query(vdi=local)
        body, told = script.curl(script.url("/export_raw_vdi", **parameters), "-L")
        assert (told["num_redirects"], body == content[: 4 * MIB]) == ("1", True)
