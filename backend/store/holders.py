"""Finished runs by their weights: those that a run starts from or learns from, wherever they came from.

A config names weights by their SHA-256, so that its hash decides the numbers wherever they lie.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.store.artifacts import Artifacts
from backend.store.models import RunRow
from core.errors import BundleCorrupt
from core.schemas.run import RunConfig, RunState


def wanted(config: RunConfig) -> dict[str, str]:
    """The weights that a config is made from, by the field that names them."""
    found = {
        "start_bundle": config.start_bundle if config.start == "bundle" else None,
        "training.teacher": config.training.teacher if config.has_given_teacher else None,
    }
    return {field: weights for field, weights in found.items() if weights is not None}


def given(session: Session, artifacts: Artifacts, config: RunConfig) -> dict[str, Path]:
    """The folders of the runs that a config names, by field; one that is gone is left out."""
    found = {field: holder(session, artifacts, weights) for field, weights in wanted(config).items()}
    return {field: folder for field, folder in found.items() if folder is not None}


def holder(session: Session, artifacts: Artifacts, weights: str) -> Path | None:
    """The folder of the newest succeeded run whose weights have that digest."""
    succeeded = select(RunRow.id).where(RunRow.state == RunState.SUCCEEDED, RunRow.deleted_at.is_(None))
    for run_id in session.scalars(succeeded.order_by(RunRow.created_at.desc(), RunRow.id.desc())):
        try:
            if _weights(artifacts, run_id) == weights:
                return artifacts.folder(run_id)
        except BundleCorrupt:  # it is said where that run is looked at
            continue
    return None


@lru_cache(maxsize=20_000)
def _weights(artifacts: Artifacts, run_id: str) -> str:
    """A succeeded run's bundle does not change, so its manifest is read once."""
    return artifacts.bundle(run_id).weights_sha256
