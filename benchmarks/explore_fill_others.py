"""Put drawn rows into the store of another dashboard: `PYTHON explore_fill_others.py optuna|mlflow FOLDER`.

Runs in an environment that has those packages and nothing of ours; reads FOLDER/rows.json.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path

METRICS = {"accuracy": "maximize", "energy_pj": "minimize", "energy_other_pj": "minimize"}


def optuna(folder: Path, rows: list[dict]) -> None:
    """One study of three objectives, a trial a row, through Optuna's own interface."""
    import optuna
    from sqlalchemy import event

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")

    @event.listens_for(storage.engine, "connect")
    def _hurry(connection, _record) -> None:  # only while it is filled: the file is read afterwards by another process
        connection.execute("PRAGMA synchronous = OFF")

    storage.engine.dispose()
    study = optuna.create_study(storage=storage, study_name="load", directions=list(METRICS.values()))
    study.set_metric_names(list(METRICS))
    choices = {
        name: optuna.distributions.CategoricalDistribution(sorted({row[name] for row in rows}))
        for name in ("kind", "mask")
    }
    choices["lr"] = optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in choices},
                distributions=choices,
                values=[row[name] for name in METRICS],
            )
            for row in rows
        ]
    )


def mlflow(folder: Path, rows: list[dict]) -> None:
    """One experiment, a run a row, in bulk through MLflow's own tables: run by run would take many minutes."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    artifacts = folder / "mlflow"
    store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(artifacts))
    experiment = int(store.create_experiment("load"))
    now = int(time.time() * 1000)
    with store.ManagedSessionMaker() as session:
        for place, row in enumerate(rows):
            run, when = uuid.uuid4().hex, now - 1000 * (len(rows) - place)
            name = f"{row['kind']}-{place}"
            session.add(
                SqlRun(run_uuid=run, name=name, source_type="LOCAL", source_name="", entry_point_name="", user_id="load",
                       status="FINISHED", start_time=when, end_time=when,
                       source_version="", lifecycle_stage="active", artifact_uri=f"{artifacts}/{run}",
                       experiment_id=experiment)
            )  # fmt: skip
            session.flush()
            session.add(SqlTag(key="mlflow.runName", value=name, run_uuid=run))
            session.add_all(SqlParam(key=key, value=str(row[key]), run_uuid=run) for key in ("kind", "mask", "lr"))
            for key in METRICS:
                one = {"key": key, "value": row[key], "timestamp": when, "step": 0, "is_nan": False, "run_uuid": run}
                session.add_all((SqlMetric(**one), SqlLatestMetric(**one)))


if __name__ == "__main__":
    target = Path(sys.argv[2])
    {"optuna": optuna, "mlflow": mlflow}[sys.argv[1]](target, json.loads((target / "rows.json").read_text()))
