"""A run's row as the API shows it."""

from __future__ import annotations

import logging

from backend.store.artifacts import Artifacts, SignedUrls
from backend.store.models import RunRow
from core.errors import ArtifactsDown, BundleCorrupt
from core.recipes.build import command
from core.schemas.results import RunError, RunProgress, Summary
from core.schemas.run import RunConfig, RunState
from core.schemas.runs import Artifact, Run, TwinRef
from core.schemas.workers import Device

log = logging.getLogger("spikefront.runs")


def present(
    row: RunRow,
    *,
    twin: TwinRef | None,
    artifacts: list[Artifact],
    bundle_url: str | None,
    tags: list[str],
    sweep_ids: list[str],
    config: RunConfig | None = None,
) -> Run:
    """`config`: the row's, where it is at hand; else it is read."""
    config = config or RunConfig.model_validate(row.config)
    return Run(
        id=row.id,
        state=RunState(row.state),
        config=config,
        config_hash=row.config_hash,
        twin_hash=row.twin_hash,
        label=row.label,
        differs=row.differs or "",
        name=row.name,
        archived=row.archived,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=row.attempt,
        worker=row.worker,
        progress=RunProgress.model_validate(row.progress),
        summary=Summary.model_validate(row.summary) if row.summary is not None else None,
        error=RunError.model_validate(row.error) if row.error is not None else None,
        twin=twin,
        command=command(config),
        artifacts=artifacts,
        bundle_url=bundle_url,
        tags=tags,
        note=row.note,
        sweep_ids=sweep_ids,
        imported=row.import_digest is not None,
        deleted_at=row.deleted_at,
        priority=row.priority,
        submitter=row.submitter,
        project=row.project,
        device=device(row.wants_device),
    )


def device(word: str | None) -> Device | None:
    """As a row has it; a word of a later version is none that is known here."""
    return "cuda" if word == "cuda" else "cpu" if word == "cpu" else None


def signed_artifacts(run_id: str, artifacts: Artifacts, urls: SignedUrls) -> list[Artifact]:
    """The files of a finished bundle; none while it is unfinished, or where its manifest is damaged."""
    try:
        bundle = artifacts.bundle(run_id)
        if not bundle.complete:
            return []
        files = bundle.files()
    except (ArtifactsDown, BundleCorrupt) as error:  # the figures are in the database all the same
        log.warning("run.manifest_unreadable", extra={"run_id": run_id, "reason": error.message})
        return []
    return [
        Artifact(name=entry.name, bytes=entry.bytes, sha256=entry.sha256, url=urls.url(run_id, entry.name))
        for entry in files
    ]
