"""A run's row as the API shows it."""

from __future__ import annotations

import logging

from backend.store.artifacts import Artifacts, SignedUrls
from backend.store.models import RunRow
from core.backbones.catalog import BACKBONES, mask_name
from core.errors import BundleCorrupt
from core.recipes.build import command
from core.schemas.results import Summary
from core.schemas.run import RunConfig, RunState
from core.schemas.runs import Artifact, Run, RunError, RunProgress, TwinRef

log = logging.getLogger("spikefront.runs")


def label(*, kind: str, backbone: str, mask: tuple[str, ...]) -> str:
    """A run's short name for people: `SNN-SqueezeNet Ref-1`, or the kept blocks where the mask has no name."""
    if backbone not in BACKBONES:  # a run from a version that had more
        return f"{kind.upper()}-{backbone} {','.join(mask)}"
    return f"{kind.upper()}-{BACKBONES[backbone].title} {mask_name(backbone, mask) or ','.join(mask)}"


def row_label(row: RunRow) -> str:
    return label(kind=row.kind, backbone=row.backbone, mask=tuple(row.mask.split(",")))


def present(
    row: RunRow,
    *,
    twin: TwinRef | None,
    artifacts: list[Artifact],
    bundle_url: str | None,
    tags: list[str],
    sweep_ids: list[str],
) -> Run:
    config = RunConfig.model_validate(row.config)
    return Run(
        id=row.id,
        state=RunState(row.state),
        config=config,
        config_hash=row.config_hash,
        twin_hash=row.twin_hash,
        label=row_label(row),
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
    )


def signed_artifacts(run_id: str, artifacts: Artifacts, urls: SignedUrls) -> list[Artifact]:
    """The files of a finished bundle; none while it is unfinished, or where its manifest is damaged."""
    bundle = artifacts.bundle(run_id)
    if not bundle.complete:
        return []
    try:
        files = bundle.files()
    except BundleCorrupt as error:  # the figures are in the database all the same
        log.warning("run.manifest_unreadable", extra={"run_id": run_id, "reason": error.message})
        return []
    return [
        Artifact(name=entry.name, bytes=entry.bytes, sha256=entry.sha256, url=urls.url(run_id, entry.name))
        for entry in files
    ]
