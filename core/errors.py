"""The domain's errors: one class a cause, each with the fields a reader needs to mend it.

Every class has a stable `code`. The command line prints the message; the API turns the
same object into an RFC 9457 problem through one table (`backend/problems.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from core.extras import with_extra
from core.showing import clipped, plain, shown

MESSAGE_LIMIT = 8_000  # characters; the end of a service's log is part of some


class SpikefrontError(Exception):
    """Base of every error that a user can cause or mend.

    `fields` holds the values named in the message, JSON-ready.
    """

    code = "error"

    def __init__(self, message: str, **fields: Any) -> None:
        self.message = clipped(message, MESSAGE_LIMIT)
        super().__init__(self.message)
        self.fields = fields


class UnknownName(SpikefrontError):
    """A name that no registry knows; `near` holds the closest known ones."""

    code = "unknown-name"

    def __init__(self, *, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(set(known))
        name = clipped(name)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
        super().__init__(f"There is no {kind} named {name!r}. {hint}", kind=kind, name=name, near=near)


class BadValue(SpikefrontError):
    """A value outside what its field allows."""

    code = "bad-value"

    def __init__(self, *, field: str, value: Any, expected: str) -> None:
        field, expected = clipped(field), clipped(expected, MESSAGE_LIMIT)
        super().__init__(
            f"{field} is {shown(value)}; it must be {expected}.", field=field, value=plain(value), expected=expected
        )


class NoClassFolders(BadValue):
    """A folder that is no data set of class folders at all; `found` says in a few words what it holds."""

    code = "no-class-folders"

    def __init__(self, *, folder: str, found: str = "") -> None:
        expected = "a folder of class folders with images (.png, .jpg, ...), or of train and test folders of them"
        if found:
            expected += f" (train/<class>/*, test/<class>/*). Found: {found}"
        super().__init__(field="path", value=folder, expected=expected)
        self.found = found


class ImpossibleMask(SpikefrontError):
    """A mask that leaves no buildable network; `trace` says block by block what arrived where."""

    code = "impossible-mask"

    def __init__(self, *, mask: Iterable[str], why: str, trace: Iterable[str] = ()) -> None:
        mask, trace = list(mask), list(trace)
        message = f"The mask {','.join(mask) or '(empty)'} is impossible: {why}"
        if before := trace[:-1]:  # the last line is the reason itself
            message += f" Before that: {'; '.join(before)}."
        super().__init__(message, mask=mask, why=why, trace=trace)


class UnknownLayer(SpikefrontError):
    """A layer that the counter or the pricer has no rule for. Never counted as zero."""

    code = "unknown-layer"

    def __init__(self, *, layer: str, kind: str) -> None:
        super().__init__(f"No counting rule for layer {layer!r} of kind {kind!r}.", layer=layer, kind=kind)


class DatasetMissing(SpikefrontError):
    """A known data set whose files are not on this machine."""

    code = "dataset-missing"

    def __init__(self, *, name: str, folder: str, how: str) -> None:
        super().__init__(f"The data set {name!r} is not in {folder}. {how}", name=name, how=how)


class DatasetCorrupt(SpikefrontError):
    """A data set file that is truncated, mislabelled or not what its name says."""

    code = "dataset-corrupt"

    def __init__(self, *, name: str, file: str, why: str) -> None:
        super().__init__(f"{name}: {file} cannot be used: {why}", name=name, file=file, why=why)


class UnsafeArchive(SpikefrontError):
    """An archive with a path, link or size that is not extracted on trust."""

    code = "unsafe-archive"

    def __init__(self, *, archive: str, member: str, why: str) -> None:
        super().__init__(f"{archive} was not extracted: {member!r} {why}", archive=archive, member=member, why=why)


class ChecksumMismatch(SpikefrontError):
    """A file whose digest differs from the one on record."""

    code = "checksum-mismatch"

    def __init__(self, *, file: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{file} has checksum {actual}, expected {expected}. It is damaged or another file.",
            file=file,
            expected=expected,
            actual=actual,
        )


class FetchFailed(SpikefrontError):
    """A download that did not complete; what came stays for the next try."""

    code = "fetch-failed"

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"Could not fetch {url}: {why}", url=url, why=why)


class BundleCorrupt(SpikefrontError):
    """A bundle with a missing or altered file: `why` as a sentence, and where one value is at fault, which and what
    would be right."""

    code = "bundle-corrupt"

    def __init__(
        self, *, file: str, why: str = "", field: str | None = None, value: Any = None, expected: str = ""
    ) -> None:
        at = {} if field is None else {"field": field, "value": plain(value), "expected": expected}
        why = why or f"{field} is {shown(value)}; it must be {expected}."
        super().__init__(f"The bundle's {file} cannot be used: {why}", file=file, why=why, **at)


class BundleBusy(SpikefrontError):
    """Another process is training in this folder."""

    code = "bundle-busy"

    def __init__(self, *, folder: str) -> None:
        super().__init__(f"Another run is writing to {folder}. Wait for it or choose another folder.", folder=folder)


class RunFolderGone(SpikefrontError):
    """A run whose folder was removed, moved or replaced while it trained."""

    code = "run-folder-gone"

    def __init__(self, *, run: str) -> None:
        super().__init__(f"The folder of run {run} was removed, moved or replaced while it trained.", run=run)


class NonFiniteLoss(SpikefrontError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""

    code = "non-finite-loss"

    def __init__(self, *, epoch: int, step: int, loss: str, term: str) -> None:
        super().__init__(
            f"The loss became {loss} at epoch {epoch}, step {step}, first in its term {term}. The last good checkpoint "
            "is kept; try a lower training.lr.",
            epoch=epoch,
            step=step,
            loss=loss,
            term=term,
        )


class OutOfMemory(SpikefrontError):
    """The device has too little memory for this batch."""

    code = "out-of-memory"

    def __init__(self, *, device: str, batch_size: int, fits: int | None) -> None:
        advice = f"a batch_size of {fits} should fit" if fits else "use a smaller batch_size"
        super().__init__(
            f"{device} ran out of memory at batch_size {batch_size}; {advice}.",
            device=device,
            batch_size=batch_size,
            fits=fits,
        )


class Interrupted(SpikefrontError):
    """The run was asked to stop and wrote a checkpoint first."""

    code = "interrupted"

    def __init__(self, *, epoch: int, step: int) -> None:
        super().__init__(
            f"Stopped on request at epoch {epoch}, step {step}; a checkpoint is kept.", epoch=epoch, step=step
        )


class NotFound(SpikefrontError):
    """An id that names nothing here."""

    code = "not-found"

    def __init__(self, *, kind: str, id: str) -> None:
        super().__init__(f"There is no {kind} with id {id!r}.", kind=kind, id=id)


class StateConflict(SpikefrontError):
    """A request that the run's present state does not allow."""

    code = "state-conflict"

    def __init__(self, *, run_id: str, state: str, wanted: str) -> None:
        super().__init__(f"The run is {state}; {wanted} is not possible.", run_id=run_id, state=state, wanted=wanted)


class QueueFull(SpikefrontError):
    """More runs of one person would wait than this installation lets one have."""

    code = "queue-full"

    def __init__(self, *, limit: int, waiting: int, wanted: int) -> None:
        room = max(0, limit - waiting)
        right = f"Ask for at most {room:,}" if room else "Wait until some have started"
        super().__init__(
            f"{waiting:,} of your runs wait, and {wanted:,} more would be above the limit of {limit:,} "
            f"(SPIKEFRONT_QUEUE_LIMIT). {right}, or cancel some that wait.",
            limit=limit,
            waiting=waiting,
            wanted=wanted,
        )


class NotReady(SpikefrontError):
    """A result that the run has not produced yet."""

    code = "not-ready"

    def __init__(self, *, run_id: str, state: str, what: str, why: str = "they come when it has succeeded") -> None:
        super().__init__(f"The run is {state} and has no {what}; {why}.", run_id=run_id, state=state, what=what)


class IdempotencyConflict(SpikefrontError):
    """An Idempotency-Key used again with another body."""

    code = "idempotency-conflict"

    def __init__(self, *, key: str) -> None:
        super().__init__(f"The Idempotency-Key {key!r} was used before with another body.", key=key)


class Unauthorised(SpikefrontError):
    """No bearer token, or a wrong one."""

    code = "unauthorised"

    def __init__(self) -> None:
        super().__init__(
            "A bearer token is needed: send 'Authorization: Bearer <token>' (an account's token that has not ended, or "
            "the file 'token' in SPIKEFRONT_HOME)."
        )


class Forbidden(SpikefrontError):
    """A request that this credential does not cover."""

    code = "forbidden"

    def __init__(self, *, needed: str, given: str) -> None:
        super().__init__(
            f"This needs the scope {needed!r}; what was shown gives {given!r}. Whoever administers this installation "
            "can change the account's role; a token gives what it was made for.",
            needed=needed,
            given=given,
        )


class NotYours(SpikefrontError):
    """What belongs to another person, or to nobody by name, and is changed by an administrator alone."""

    code = "not-yours"

    def __init__(self, *, what: str, owner: str | None) -> None:
        whose = f"belongs to {owner}" if owner else "belongs to nobody by name"
        super().__init__(
            f"The {what} {whose}: its owner changes it, or whoever administers this installation.",
            what=what,
            owner=owner,
        )


class SignInFailed(SpikefrontError):
    """A name and a password that do not go together; which of them is wrong is not told."""

    code = "sign-in-failed"

    def __init__(self) -> None:
        super().__init__("There is no account with this name and this password.")


class SignInRefused(SpikefrontError):
    """A sign-in through the provider that comes to nothing; `why` is for the person, who has shown who they are."""

    code = "sign-in-refused"

    def __init__(self, *, why: str) -> None:
        super().__init__(why)


class ProviderDown(SpikefrontError):
    """The provider that people sign in through does not answer, or not as it must."""

    code = "provider-down"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"The sign-in provider cannot be used now: {why}", why=why)


class TooManyTries(SpikefrontError):
    """Too many failed sign-ins of one name or from one address."""

    code = "too-many-tries"

    def __init__(self, *, wait_s: int) -> None:
        super().__init__(f"Too many sign-ins have failed. Try again in {wait_s} seconds.", wait_s=wait_s)


class ShareGone(SpikefrontError):
    """A share that does not exist, has expired or was revoked: all three look alike."""

    code = "share-gone"

    def __init__(self) -> None:
        super().__init__("This link does not lead anywhere: it has expired, was withdrawn or never existed.")


class QueueDown(SpikefrontError):
    """The broker does not answer."""

    code = "queue-down"

    def __init__(self) -> None:
        super().__init__("The queue does not answer. The run is kept and will be sent when it is back.")


class HomeUnusable(SpikefrontError):
    """SPIKEFRONT_HOME cannot be written, or another instance holds it."""

    code = "home-unusable"

    def __init__(self, *, folder: str, why: str) -> None:
        super().__init__(f"The data folder {folder} cannot be used: {why}", folder=folder, why=why)


class PortTaken(SpikefrontError):
    """A port that another program listens on."""

    code = "port-taken"

    def __init__(self, *, port: int, setting: str) -> None:
        super().__init__(
            f"Port {port} is taken by another program. Choose another: {setting}=<port>.", port=port, setting=setting
        )


class ServiceFailed(SpikefrontError):
    """A supervised process that did not become healthy."""

    code = "service-failed"

    def __init__(self, *, service: str, why: str) -> None:
        super().__init__(f"The {service} did not start: {why}", service=service, why=why)


class LeaseLost(SpikefrontError):
    """A run that another attempt, or nobody, owns by now: the late owner must stop."""

    code = "lease-lost"

    def __init__(self, *, run_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer owns run {run_id}.", run_id=run_id, attempt=attempt)


class InferenceFailed(SpikefrontError):
    """A trained network that could not be run on an image just now."""

    code = "inference-failed"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"The network could not be run on the image: {why}", why=why)


class MeasurementBusy(SpikefrontError):
    """Another measurement is under way, and one at a time is enough for a machine that trains."""

    code = "measurement-busy"

    def __init__(self, *, run_id: str) -> None:
        super().__init__(
            f"The robustness of another run is being measured, {run_id}. Please wait until it has ended, and ask again.",
            run_id=run_id,
        )


class MeasurementFailed(SpikefrontError):
    """The robustness of a run could not be measured."""

    code = "measurement-failed"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"The robustness could not be measured: {why}", why=why)


class PackageMissing(SpikefrontError):
    """An optional package that a command needs is not installed."""

    code = "package-missing"

    def __init__(self, *, package: str, extra: str, why: str) -> None:
        super().__init__(
            f"{why} needs the package {package}, which is not installed. {with_extra(extra)} brings it.",
            package=package,
            extra=extra,
        )


class NotExpressible(SpikefrontError):
    """A part of a network that a file format has no word for."""

    code = "not-expressible"

    def __init__(self, *, target: str, what: str, why: str) -> None:
        super().__init__(f"{target} cannot say {what}: {why}", target=target, what=what)


class StorageFull(SpikefrontError):
    """The disk that holds the database or the bundles has no room left; nothing was written."""

    code = "storage-full"

    def __init__(self) -> None:
        super().__init__(
            "The disk is full, so nothing was written. Free some space, then try again. Deleted runs keep theirs for a "
            "day: remove them for good under Runs, Deleted."
        )


class BackupFailed(SpikefrontError):
    """A backup that cannot be made, or none that can be restored; the installation is as it was."""

    code = "backup-failed"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"No backup: {why}", why=why)


class RestoreFailed(SpikefrontError):
    """A backup that cannot be restored, or no empty place to restore it into; nothing of it stays."""

    code = "restore-failed"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"Nothing was restored: {why}", why=why)


class CopyFailed(SpikefrontError):
    """A database that cannot be copied, or a copy that is not whole; the target is as it was."""

    code = "copy-failed"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"Nothing was copied: {why}", why=why)


class ArtifactsDown(SpikefrontError):
    """The store of the bundles cannot be read or written now; what was stored there stays."""

    code = "artifacts-down"

    def __init__(self, *, place: str, why: str) -> None:
        super().__init__(f"The store of the bundles, {place}, cannot be used: {why}", place=place, why=why)


class DatabaseDown(SpikefrontError):
    """The database cannot be read or written now; nothing was written."""

    code = "database-down"

    def __init__(self, *, why: str) -> None:
        super().__init__(f"The database cannot be used: {why}", why=why)
