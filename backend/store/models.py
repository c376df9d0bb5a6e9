"""The tables. Everything that is filtered, sorted or plotted is a typed column; JSON holds the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.schemas.named import described


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database: SQLite keeps no time zone, so it is taken off and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "naive datetimes are not stored"
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class MaskType(TypeDecorator[tuple[str, ...]]):
    """The kept blocks in network order: a tuple here, "F4,F6" in the database."""

    impl = String(512)
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert not isinstance(value, str), "a mask is a tuple of blocks; text would be taken apart into letters"
        return ",".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(part for part in value.split(",") if part)


class Base(DeclarativeBase):
    """Names of constraints are fixed, so that a later migration can address them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime(), float: Double(), dict[str, Any]: JSON()}


WAITING = "state = 'queued' AND deleted_at IS NULL"


def _index(name: str, *columns: str, where: str) -> Index:
    """An index of those rows alone."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class RunRow(Base):
    """One training of one network with one seed.

    `attempt` rises by one with each claim and fences late writers off; `losses` counts the attempts
    that ended because their worker was lost. `lease_until` changes with each sign of life of the owner, who may be
    silent for `lease_s`; no clock is held against it. Result columns are null until the run has succeeded. A run
    with `deleted_at` is shown nowhere until it is restored or purged. `label` is kept for searching;
    `import_digest` is the SHA-256 of the manifest that an imported run came with. `data_digest` says which images it is
    on, empty for a whole published set; `twin_hash` and `repeat_hash` hold it too (`backend.store.identity`). `name` is
    one that somebody gave the run; `differs` is what sets it apart from its recipe, null in a row from before it was
    kept until the API starts. What is `archived` is left out of lists and plots unless it is asked for.

    Whose turn it is (`backend.store.turns`): `priority`, `submitter` (the name of an account; null is one person),
    `created_at`, and `place`, the position in its sweep. `project` is a word that gathers runs. `wants_device` is null
    where any will do; `memory_cpu` and `memory_gpu` are bytes by the forecast, null in a row from before they were
    kept; until `not_before` a run that was given back is left alone.
    """

    __tablename__ = "runs"
    __table_args__ = (
        _index("ix_runs_newest", "created_at", "id", where="deleted_at IS NULL"),
        _index("ix_runs_state", "state", "created_at", "id", where="deleted_at IS NULL"),
        _index("ix_runs_dataset", "dataset", "state", "created_at", "id", where="deleted_at IS NULL"),
        _index("ix_runs_bin", "deleted_at", where="deleted_at IS NOT NULL"),
        Index("ix_runs_state_lease", "state", "lease_until"),
        _index("ix_runs_line", "priority", "submitter", "created_at", "place", "id", where=WAITING),
        Index("ix_runs_import_digest", "import_digest", unique=True),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    config: Mapped[dict[str, Any]]
    config_hash: Mapped[str] = mapped_column(String(64), index=True)
    twin_hash: Mapped[str] = mapped_column(String(64), index=True)
    backbone: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(8))
    mask: Mapped[tuple[str, ...]] = mapped_column(MaskType)
    dataset: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    time_steps: Mapped[int]

    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    lease_s: Mapped[float | None]
    sent_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    progress: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    accuracy: Mapped[float | None]
    f1_macro: Mapped[float | None]
    params: Mapped[int | None]
    firing_rate: Mapped[float | None]
    n_train: Mapped[int | None]
    n_test: Mapped[int | None]
    dataset_complete: Mapped[bool | None]
    device: Mapped[str | None] = mapped_column(String(255))
    ops_per_s: Mapped[float | None]  # throughput of the whole run, in the forecast's MAC equivalents

    repeat_hash: Mapped[str] = mapped_column(String(64), default="", server_default="")  # of core.repeats
    data_digest: Mapped[str | None] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(640), default="", server_default="")
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    name: Mapped[str | None] = mapped_column(String(100))
    differs: Mapped[str | None] = mapped_column(Text)
    archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    deleted_at: Mapped[datetime | None]
    import_digest: Mapped[str | None] = mapped_column(String(64))

    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    submitter: Mapped[str | None] = mapped_column(String(255), index=True)
    project: Mapped[str | None] = mapped_column(String(64), index=True)
    place: Mapped[int] = mapped_column(default=0, server_default="0")
    wants_device: Mapped[str | None] = mapped_column(String(8))
    memory_cpu: Mapped[int | None] = mapped_column(BigInteger)
    memory_gpu: Mapped[int | None] = mapped_column(BigInteger)
    not_before: Mapped[datetime | None]


class RunTagRow(Base):
    """A word that somebody gave a run."""

    __tablename__ = "run_tags"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class SweepRow(Base):
    """A set of runs that were asked for together; `request` is the body that asked."""

    __tablename__ = "sweeps"
    __table_args__ = (Index("ix_sweeps_newest", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    request: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    submitter: Mapped[str | None] = mapped_column(String(255))


class SweepRunRow(Base):
    """A run's place in a sweep; one run may be in several."""

    __tablename__ = "sweep_runs"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, index=True)
    position: Mapped[int]


class RunEventRow(Base):
    """What happened to a run, in order. `id` is the id of the server-sent event, and never used twice.

    Of progress there is one row a run, which is written again each time: it would use up an id every quarter of a second.
    """

    __tablename__ = "run_events"
    __table_args__ = (Index("ix_run_events_run_id_id", "run_id", "id"), {"sqlite_autoincrement": True})

    # SQLite counts by itself in a column of this one name, in 64 bits too
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[int | None]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class RunTallyRow(Base):
    """Operations per inference of a succeeded run in one accounting mode; no price is stored.

    `other` is `Tally.other`; null in a row from before it was kept, which the API tallies again when it starts.
    """

    __tablename__ = "run_tallies"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    mode: Mapped[str] = mapped_column(String(64), primary_key=True)
    acs: Mapped[float]
    macs: Mapped[float]
    other: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class RunStepRow(Base):
    """A succeeded run stopped after `steps` < T of its time steps.

    `tallies`: accounting mode -> {"acs", "macs", "other"} per inference; no price is stored.
    """

    __tablename__ = "run_steps"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    steps: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    accuracy: Mapped[float]
    f1_macro: Mapped[float]
    firing_rate: Mapped[float | None]
    tallies: Mapped[dict[str, Any]]


class ShareRow(Base):
    """A link to results. Only the SHA-256 of its token is kept; the twin is fixed when it is made.

    `request` is what was asked for, null for a link from before there were others than those to one run. `run_id`
    is the run that a live link to one run hangs on; null for every other, which its runs' deletion does not delete.
    """

    __tablename__ = "shares"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    twin_run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    with_twin: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    views: Mapped[int] = mapped_column(default=0)
    last_viewed_at: Mapped[datetime | None]
    request: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    label: Mapped[str] = mapped_column(String(640), default="", server_default="")
    frozen: Mapped[bool] = mapped_column(default=False, server_default=false())
    made_by: Mapped[str | None] = mapped_column(String(255))


class SavedViewRow(Base):
    """A view of Explore under a name: the parts of its address."""

    __tablename__ = "saved_views"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    parts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class IdempotencyKeyRow(Base):
    """The run or sweep that a request with this key made, and the digest of that request's body."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    sweep_id: Mapped[str | None] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)


class WorkerRow(Base):
    """A worker's last sign of life; `paused` says why it starts nothing, and is null while it does.

    `offer`: what it can do (`core.schemas.workers.Offer`); null for one from before workers said so.
    """

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    queue: Mapped[str] = mapped_column(String(64))
    slots: Mapped[int]
    busy: Mapped[int]
    seen_at: Mapped[datetime]
    paused: Mapped[str | None] = mapped_column(Text)
    offer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class TurnRow(Base):
    """Whose run was claimed when: the larger the number, the later. `submitter` is empty for runs of nobody by name."""

    __tablename__ = "turns"

    submitter: Mapped[str] = mapped_column(String(255), primary_key=True)
    turn: Mapped[int] = mapped_column(BigInteger)


class AccountRow(Base):
    """A person or a program. `password_hash` is argon2's text, null where nobody signs in by a password.

    `issuer` and `subject` are the provider and its identifier of the person who signs in through it; both or none.
    """

    __tablename__ = "accounts"
    __table_args__ = (Index("uq_accounts_subject", "issuer", "subject", unique=True),)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(Text)
    disabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    issuer: Mapped[str | None] = mapped_column(String(500))
    subject: Mapped[str | None] = mapped_column(String(255))


class AccessTokenRow(Base):
    """A token of an account, by the SHA-256 of its 256 random bits."""

    __tablename__ = "access_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SessionRow(Base):
    """A page that somebody signed in on, until its end; the hash is as of a token."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SpentTicketRow(Base):
    """A ticket of a sign-in through the provider that was answered, by its SHA-256, until its end: it is good for once."""

    __tablename__ = "spent_tickets"

    ticket_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(index=True)


class SignInCountRow(Base):
    """Failed sign-ins of one name or one address since `began_at`."""

    __tablename__ = "sign_in_counts"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(index=True)
    failed: Mapped[int]


class AuditEntryRow(Base):
    """Who did what to which, and when. Written with the act itself, and never changed."""

    __tablename__ = "audit_log"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str | None] = mapped_column(String(64))
    via: Mapped[str] = mapped_column(String(16))
    address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[dict[str, Any]]


def title_of(row: RunRow) -> str:
    """What people read for a run (`core.schemas.named`)."""
    return row.name or described(row.label, row.differs or "")


#: What of a run's config its name says beside the mask; null in a config from before it.
OPTIONS = (
    RunRow.config["definition"].as_string().label("definition"),
    RunRow.config["architecture"].label("architecture"),
)


class RevisionRow(Base):
    """How often something changed that is shown; kept by triggers (`backend.store.revision`), and of this database
    alone."""

    __tablename__ = "revisions"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)
