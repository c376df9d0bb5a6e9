"""The environment of a child process that runs networks."""

from __future__ import annotations

import os

#: Such a child needs none of these, and what a process does not have it cannot leak.
WITHHELD = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "SPIKEFRONT_ARTIFACTS_URL",
    "SPIKEFRONT_BROKER_PASSWORD_FILE",
    "SPIKEFRONT_BROKER_URL",
    "SPIKEFRONT_DATABASE_PASSWORD_FILE",
    "SPIKEFRONT_DATABASE_URL",
    "SPIKEFRONT_METRICS_TOKEN_FILE",
    "SPIKEFRONT_OIDC_CLIENT_SECRET_FILE",
    "SPIKEFRONT_TOKEN",
    "SPIKEFRONT_TOKEN_FILE",
    "SPIKEFRONT_WEBHOOK_URL",
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def child_env(*, threads: int, device: str | None) -> dict[str, str]:
    """This process's environment without its secrets. `device` is a GPU's number or UUID, or None for the CPU alone.

    The numbers are nvidia-smi's, so CUDA is told to count as it does: left to itself it puts the fastest first.
    """
    kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    return (
        kept
        | dict.fromkeys(THREADS, str(threads))
        | {"CUDA_VISIBLE_DEVICES": "" if device is None else device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    )
