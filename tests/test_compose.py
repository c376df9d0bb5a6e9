"""docker-compose.yml and what lies in deploy/: fits the schema, is shut as far as it can be, and holds no secret."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from composing import LAN, MAIN, ROOT, WORKER, composed, variables_of

from core.settings import Settings

GIVEN = {"SPIKEFRONT_DOMAIN": "lab.example", "SPIKEFRONT_LAN_ADDRESS": "192.0.2.1", "SPIKEFRONT_SERVER": "labbox",
         "SPIKEFRONT_ARTIFACTS": "/srv/spikefront"}  # fmt: skip
SERVICES = [
    (file.name, name, service) for file in (MAIN, WORKER) for name, service in composed(file, GIVEN)["services"].items()
]
OURS = [case for case in SERVICES if "spikefront:" in case[2]["image"]]
SETTINGS = {
    str(field.validation_alias or f"SPIKEFRONT_{name.upper()}") for name, field in Settings.model_fields.items()
}


def named(cases: list) -> list:
    return [pytest.param(service, id=f"{file}-{name}") for file, name, service in cases]


@pytest.mark.parametrize("file", [MAIN, LAN, WORKER], ids=lambda file: file.name)
def test_the_file_fits_the_schema_of_compose(file):
    """The schema comes with the package: nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", named(SERVICES))
def test_a_service_can_do_no_more_than_it_must(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and set(service.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & set(service)
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))
    assert service["logging"]["options"]["max-size"], "a log that is bounded"


@pytest.mark.parametrize("service", named([case for case in SERVICES if case[1] != "proxy"]))
def test_a_service_runs_as_a_user_of_its_own_and_only_the_proxy_has_ports(service):
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert "ports" not in service


@pytest.mark.parametrize("service", named([case for case in SERVICES if case[1] not in ("proxy", "migrate")]))
def test_a_service_says_whether_it_is_well(service):
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and check["timeout"]
    if "spikefront:" in service["image"]:
        assert check["test"][1:3] == ["spikefront", "health"]


@pytest.mark.parametrize("service", named(OURS))
def test_settings_are_ours_and_secrets_come_as_files(service):
    ours = {name: value for name, value in service["environment"].items() if name.startswith("SPIKEFRONT_")}
    assert set(ours) <= SETTINGS
    for name, value in ours.items():
        if name.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"]
        else:
            assert "PASSWORD" not in name and name != "SPIKEFRONT_TOKEN" and not re.search(r"://[^/@]*:[^/@]*@", value)


def test_the_queue_survives_a_restart_and_drops_nothing():
    command = " ".join(composed(MAIN, GIVEN)["services"]["broker"]["command"])
    assert "--appendonly yes" in command and "--maxmemory-policy noeviction" in command and "requirepass" in command


def test_database_and_broker_are_on_a_network_that_leads_nowhere():
    main = composed(MAIN, GIVEN)
    assert main["networks"]["inner"] == {"internal": True}
    assert all(main["services"][name]["networks"] == ["inner"] for name in ("db", "broker", "migrate"))
    assert not {"inner"} & set(main["services"]["proxy"]["networks"])


def test_every_volume_and_secret_that_is_used_is_declared():
    for file in (MAIN, WORKER):
        whole = composed(
            file,
            {name: value for name, value in GIVEN.items() if name != "SPIKEFRONT_ARTIFACTS"} if file == MAIN else GIVEN,
        )
        for service in whole["services"].values():
            sources = [volume.split(":")[0] for volume in service.get("volumes", [])]
            assert {source for source in sources if not source.startswith((".", "/"))} <= set(whole["volumes"])
            assert set(service.get("secrets", [])) <= set(whole["secrets"])


def test_a_file_asks_for_the_variables_that_the_docs_name():
    told = (ROOT / "docs" / "service.md").read_text()
    for file in (MAIN, LAN, WORKER):
        for name in variables_of(file):
            assert f"`{name}`" in told, name


def test_the_image_gets_what_is_needed_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert lines[0] == "*"
    assert {f"!{name}" for line in copied for name in line.split()} == {line for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for line in copied for name in line.split())


def set_up(folder: Path, *args: str) -> None:
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "setup", folder / "deploy")
    subprocess.run([folder / "deploy" / "setup", *args], check=True, capture_output=True, timeout=60)


def test_setup_makes_secrets_once_shut_to_others_and_names_the_installation(tmp_path):
    set_up(tmp_path, "lab.example", "/sf")
    made = {file.name: file.read_text() for file in (tmp_path / "deploy" / "secrets").iterdir()}
    assert set(made) == set(composed(MAIN, GIVEN)["secrets"])
    drawn = {secret for name, secret in made.items() if name not in ("store_credentials", "oidc_client_secret")}
    assert len(drawn) == 3 and all(re.fullmatch("[0-9a-f]{64}", secret) for secret in drawn)
    assert made["store_credentials"].startswith("#"), "nobody's yet"
    assert made["oidc_client_secret"] == ""
    assert stat.S_IMODE((tmp_path / "deploy" / "secrets").stat().st_mode) == 0o700
    assert (tmp_path / ".env").read_text().split() == ["SPIKEFRONT_DOMAIN=lab.example", "SPIKEFRONT_BASE_PATH=/sf"]
    set_up(tmp_path, "other.example")
    assert {file.name: file.read_text() for file in (tmp_path / "deploy" / "secrets").iterdir()} == made
