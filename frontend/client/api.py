"""The one HTTP client of the dashboard: typed answers, and two errors for all that can go wrong.

`ApiProblem` is an answer that refuses (an RFC 9457 problem); `ApiDown` is no answer at all. No page
talks to the API by another way, and no page sees a status code.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from core import request_ids
from core.schemas.accounts import (
    Account,
    AccountChange,
    Accounts,
    AuditLog,
    Me,
    NewAccount,
    NewToken,
    PasswordChange,
    ProviderAnswer,
    SignedIn,
    SignIn,
    SignInBegun,
    SignInWays,
    TokenRequest,
    Tokens,
)
from core.schemas.audit import Audit, MeasuredAudit
from core.schemas.base import Frozen
from core.schemas.bill import Layers
from core.schemas.catalog import Catalog
from core.schemas.compare import Comparison
from core.schemas.datasets import DatasetAdded, DatasetPictures, DataWork
from core.schemas.diagnostics import Calibration, Confusion, DiagnosticsReport, Exits, Steps
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.history import RunHistory, RunLog
from core.schemas.images import Examples, SeenImage
from core.schemas.inference import NeuronPlace, Tried
from core.schemas.installation import Installation
from core.schemas.pareto import Pareto, ParetoColumns
from core.schemas.preview import Preview
from core.schemas.problem import Problem
from core.schemas.recount import Recount
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.results import Environment, Gradients, Metrics
from core.schemas.robustness import RobustnessRequest, RunRobustness
from core.schemas.run_table import RunColumns, RunCounts
from core.schemas.runs import BulkAnswers, BulkRequest, Run, RunChange, RunPage, TakenUp
from core.schemas.saved_view import NewView, SavedView, SavedViews
from core.schemas.search import RunSearch
from core.schemas.share import NewShare, SharePage, ShareRequest
from core.schemas.suggestion import MaskSuggestions
from core.schemas.sweep import SweepDetail, SweepPage, SweepPreview, SweepRequest
from core.schemas.twin import RunTwin
from core.schemas.workers import Activity, ReadyCheck, WaitingRuns, Workers

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
LARGE_KEPT = 8  # answers of up to megabytes, read and as they came
# A preview or a list answers in milliseconds; half a minute means that something is stuck.
TIMEOUT = httpx.Timeout(30.0, connect=3.0)
# What only reads is asked again when it was silent for so long and the API is found to live: a page says that it hangs
# before ten seconds are over, and one that is only slow is waited for.
FIRST_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
LIVE_TIMEOUT = httpx.Timeout(1.5, connect=1.0)
# The first image waits for the engine, and on a new machine for its kernels.
TRY_TIMEOUT = httpx.Timeout(180.0, connect=3.0)
# A large bundle travels, is unpacked, and every figure in it is computed again.
IMPORT_TIMEOUT = httpx.Timeout(600.0, connect=3.0)

#: Sent with a body, and changing nothing all the same.
READS = ("/preview", "/sweeps/preview")

Model = TypeVar("Model", bound=Frozen)


class Made(Frozen, extra="ignore"):
    """Of what was made the id alone: the page that it leads to asks for the rest."""

    id: str


class ApiDown(Exception):
    """The API does not answer: it is starting, stopped or unreachable."""


class ApiProblem(Exception):
    """The API answered with a problem. `fields` holds the values that the detail names; `request_id` finds it in the logs."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str,
        fields: Mapping[str, Any],
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.fields = dict(fields)
        self.request_id = request_id

    def concerns(self, *names: str) -> bool:
        """Whether the problem is about one of these request fields, by full or last part of the dotted name."""
        field = str(self.fields.get("field", ""))
        return bool(field) and any(field == name or field.split(".")[-1] == name.split(".")[-1] for name in names)


class _Bearer(httpx.Auth):
    """Sends the token; reads it afresh when the API refuses it, since a new home has a new one, and sends that once.

    The same one is not sent again: a wrong password would count twice.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._token: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        known = self._token
        self._token = known or self._read()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401 and known is not None and (now := self._read()) != known:
            self._token = now
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


class Client:
    """Thread-safe; one per process. Every method raises ApiProblem or ApiDown and nothing else."""

    def __init__(
        self,
        base_url: str,
        token: Callable[[], str],
        *,
        public_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`base_url` without the version prefix; `token` gives the bearer token when it is needed.

        `public_url` is where people reach the same API, if it is elsewhere.
        """
        self.base_url = base_url.rstrip("/")
        self.public_url = (public_url or base_url).rstrip("/")
        self._auth: httpx.Auth = _Bearer(token)
        self._http = httpx.Client(base_url=self.base_url, timeout=TIMEOUT, transport=transport, trust_env=False)

    def acting(self, credential: str) -> Client:
        """The same, over the same connections, for whoever has this credential."""
        other = copy.copy(self)
        other._auth = _Bearer(lambda: credential)
        return other

    def close(self) -> None:
        self._http.close()

    # catalogue and preview

    def catalog(self) -> Catalog:
        return self._get(Catalog, "/catalog")

    def preview(self, request: RunRequest) -> Preview:
        return self._send(Preview, "POST", "/preview", body=request)

    def suggestions(
        self, *, backbone: str, definition: str, kind: str, dataset: str, mode: str, profile: str
    ) -> MaskSuggestions:
        """Masks worth training next, from the runs that exist; empty with the reason where there are too few."""
        return self._get(
            MaskSuggestions, "/suggestions", backbone=backbone, definition=definition, kind=kind, dataset=dataset,
            mode=mode, profile=profile,
        )  # fmt: skip

    # data sets

    def add_dataset(self, content: bytes, *, name: str, file: str, size: int | None, mirrors: bool) -> DatasetAdded:
        """A zip or tar of class folders, checked whole. `file` is its name, for messages."""
        query = {"name": name, "file": file[:255], "size": size, "mirrors": mirrors or None}
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._request(
            "POST", "/datasets", query=query, content=content, headers=headers, timeout=IMPORT_TIMEOUT
        )
        return _read(DatasetAdded, answer)

    def pictures(self, name: str, *, of: str | None, limit: int) -> DatasetPictures:
        """Training images of each class, or of the class `of`."""
        return self._get(DatasetPictures, f"/datasets/{_part(name)}/pictures", limit=limit, **{"class": of})

    def data_work(self, name: str) -> DataWork:
        """How far adding or fetching it is; refused as `not-found` where neither was begun."""
        return self._get(DataWork, f"/datasets/{_part(name)}/work")

    def fetch_dataset(self, name: str) -> DataWork:
        return self._send(DataWork, "POST", f"/datasets/{_part(name)}/fetch")

    def cancel_fetch(self, name: str) -> DataWork:
        return self._send(DataWork, "DELETE", f"/datasets/{_part(name)}/fetch")

    # sweeps

    def preview_sweep(self, request: SweepRequest) -> SweepPreview:
        return self._send(SweepPreview, "POST", "/sweeps/preview", body=request)

    def launch_sweep(self, request: SweepRequest, *, idempotency_key: str) -> SweepDetail:
        """Queue every combination that no equal run answers. The same key gives the same sweep again."""
        return self._send(SweepDetail, "POST", "/sweeps", body=request, headers={"Idempotency-Key": idempotency_key})

    # runs

    def launch(self, request: RunRequest, *, idempotency_key: str) -> str:
        """Queue one run; its id. The same key with the same request gives the same run again."""
        return self._send(Made, "POST", "/runs", body=request, headers={"Idempotency-Key": idempotency_key}).id

    def runs(self, *, cursor: str | None = None, limit: int | None = None, **filters: Any) -> RunPage:
        """Newest first. Filters: `state` (one or several), `dataset`, `kind`, `backbone`, `recipe`, `tag`, `sweep`,
        `q` (words), `deleted` (what is in the bin)."""
        return self._get_large(RunPage, "/runs", cursor=cursor, limit=limit, **filters)

    def run_columns(self, *, mode: str, profile: str, **filters: Any) -> RunColumns:
        """Every run that the filters let through, newest first, as columns."""
        return self._get_large(RunColumns, "/runs/columns", mode=mode, profile=profile, **filters)

    def run_counts(self, **filters: Any) -> RunCounts:
        """How many there are by state; quick."""
        return self._get(RunCounts, "/runs/counts", **filters)

    def run(self, run_id: str) -> Run:
        return self._get(Run, f"/runs/{_part(run_id)}")

    def cancel(self, run_id: str) -> Run:
        return self._send(Run, "POST", f"/runs/{_part(run_id)}/cancel")

    def retry(self, run_id: str) -> Run:
        """A new run with the same config; a second click on the same button gives the same new run."""
        key = {"Idempotency-Key": f"retry-{run_id}"}
        return self._send(Run, "POST", f"/runs/{_part(run_id)}/retry", headers=key)

    def fork(self, run_id: str, request: ForkRequest, *, idempotency_key: str) -> Run:
        """A new run with another's config and some changes."""
        key = {"Idempotency-Key": idempotency_key}
        return self._send(Run, "POST", f"/runs/{_part(run_id)}/fork", body=request, headers=key)

    def change(self, run_id: str, change: RunChange) -> Run:
        """Set the fields that `change` was made with: tags, note, or both."""
        content = change.model_dump_json(exclude_unset=True).encode()
        headers = {"Content-Type": "application/json"}
        return _read(Run, self._request("PATCH", f"/runs/{_part(run_id)}", content=content, headers=headers))

    def delete(self, run_id: str) -> None:
        """Into the bin; a worker removes it a day later."""
        self._request("DELETE", f"/runs/{_part(run_id)}")

    def restore(self, run_id: str) -> Run:
        return self._send(Run, "POST", f"/runs/{_part(run_id)}/restore")

    def bulk(self, request: BulkRequest) -> BulkAnswers:
        """One action on many runs. Sent twice, a retry makes each new run once."""
        return self._send(BulkAnswers, "POST", "/runs/bulk", body=request, headers={"Idempotency-Key": "bulk"})

    def import_bundle(self, zipped: bytes) -> tuple[Run, bool]:
        """A finished bundle as a zip: its run, and whether it is new here."""
        headers = {"Content-Type": "application/zip"}
        response = self._request("POST", "/imports", content=zipped, headers=headers, timeout=IMPORT_TIMEOUT)
        return _read(Run, response), response.status_code == 201

    def take_up(self) -> TakenUp:
        """List runs again whose folders are there and whose rows are not."""
        return self._send(TakenUp, "POST", "/imports/unlisted")

    # sweeps

    def sweeps(self, *, cursor: str | None = None, limit: int | None = None) -> SweepPage:
        return self._get(SweepPage, "/sweeps", cursor=cursor, limit=limit)

    def sweep(self, sweep_id: str, *, mode: str, profile: str) -> SweepDetail:
        return self._get(SweepDetail, f"/sweeps/{_part(sweep_id)}", mode=mode, profile=profile)

    def cancel_sweep(self, sweep_id: str) -> SweepDetail:
        return self._send(SweepDetail, "POST", f"/sweeps/{_part(sweep_id)}/cancel")

    def forget_sweep(self, sweep_id: str) -> None:
        """The grouping is gone; the runs stay."""
        self._request("DELETE", f"/sweeps/{_part(sweep_id)}")

    # who trains, and what waits

    def workers(self) -> Workers:
        return self._get(Workers, "/workers")

    def queue(self) -> WaitingRuns:
        return self._get(WaitingRuns, "/queue")

    def activity(self) -> Activity:
        """What goes on, and a number that rises when a list must be read again; cheap, for pages that stay open."""
        return self._get_large(Activity, "/activity")

    def installation(self) -> Installation:
        """Versions, and what lies on the disk."""
        return self._get(Installation, "/installation")

    def metrics(self, run_id: str) -> Metrics:
        return self._get(Metrics, f"/runs/{_part(run_id)}/metrics")

    def layers(self, run_id: str, *, mode: str, profile: str) -> Layers:
        return self._get(Layers, f"/runs/{_part(run_id)}/layers", mode=mode, profile=profile)

    def confusion(self, run_id: str) -> Confusion:
        return self._get(Confusion, f"/runs/{_part(run_id)}/confusion")

    def examples(
        self, run_id: str, *, which: str, limit: int | None = None, against: str | None = None,
        truth: int | None = None, answer: int | None = None,
    ) -> Examples:  # fmt: skip
        """With `against`: only images that that run got right and this one did not.

        `truth` and `answer` are places in the classes: only images of that cell of the confusion matrix.
        """
        query = {"which": which, "limit": limit, "against": against, "truth": truth, "answer": answer}
        return self._get(Examples, f"/runs/{_part(run_id)}/examples", **query)

    def image(self, run_id: str, index: int, *, mode: str, profile: str) -> SeenImage:
        """One test image: confidences, spikes and energy after each step, of the run and of its twin."""
        return self._get(SeenImage, f"/runs/{_part(run_id)}/images/{index:d}", mode=mode, profile=profile)

    def calibration(self, run_id: str) -> Calibration:
        return self._get(Calibration, f"/runs/{_part(run_id)}/calibration")

    def steps(self, run_id: str, *, mode: str, profile: str) -> Steps:
        """Accuracy and energy after each T' <= T."""
        return self._get(Steps, f"/runs/{_part(run_id)}/steps", mode=mode, profile=profile)

    def exits(self, run_id: str, *, mode: str, profile: str) -> Exits:
        """Early exit by confidence; refused in a mode without an energy of one image."""
        return self._get(Exits, f"/runs/{_part(run_id)}/exits", mode=mode, profile=profile)

    def twin(self, run_id: str, *, mode: str, profile: str) -> RunTwin:
        """Beside its finished twin, whichever is the CNN; refused as `not-ready` where there is none."""
        return self._get(RunTwin, f"/runs/{_part(run_id)}/twin", mode=mode, profile=profile)

    def diagnostics(self, run_id: str) -> DiagnosticsReport:
        """What the probe saw; refused as `not-ready` for a run from before there was one."""
        return self._get(DiagnosticsReport, f"/runs/{_part(run_id)}/diagnostics")

    def recount(self, run_id: str) -> Recount:
        """The run counted again by SpikingJelly; refused as `not-found` where it was not."""
        return self._get(Recount, f"/runs/{_part(run_id)}/artifacts/recount.json")

    def robustness(self, run_id: str, *, mode: str, profile: str) -> RunRobustness:
        """Accuracy and energy under disturbances, where they were measured, and how far a measurement is."""
        return self._get(RunRobustness, f"/runs/{_part(run_id)}/robustness", mode=mode, profile=profile)

    def measure_robustness(self, run_id: str, request: RobustnessRequest) -> RunRobustness:
        """Begin to measure; refused as `measurement-busy` while another run is."""
        return self._send(RunRobustness, "POST", f"/runs/{_part(run_id)}/robustness", body=request)

    def environment(self, run_id: str) -> dict[str, Any]:
        """What the numbers were made with."""
        return self._get(Environment, f"/runs/{_part(run_id)}/environment").noted

    def search(self, run_id: str) -> RunSearch:
        """Of a run that searches: its course, also while it goes on."""
        return self._get(RunSearch, f"/runs/{_part(run_id)}/search")

    def gradients(self, run_id: str) -> Gradients:
        return self._get(Gradients, f"/runs/{_part(run_id)}/gradients")

    def history(self, run_id: str) -> RunHistory:
        """The loss of steps and the machine's use; empty columns for a run that no worker here has trained."""
        return self._get(RunHistory, f"/runs/{_part(run_id)}/history")

    def log(self, run_id: str) -> RunLog:
        """The end of its trainer's log."""
        return self._get(RunLog, f"/runs/{_part(run_id)}/log")

    def try_image(
        self, run_id: str, *, mode: str, profile: str, picture: bytes | None = None, index: int | None = None,
        invert: bool = False, neuron: NeuronPlace | None = None,
    ) -> Tried:  # fmt: skip
        """One image through the run's network and its twin's: a PNG, JPEG or WebP file, or a kept test image."""
        response = self._request(
            "POST",
            f"/runs/{_part(run_id)}/try",
            query={
                "index": index,
                "invert": invert or None,
                "mode": mode,
                "profile": profile,
                **(neuron.model_dump() if neuron is not None else {}),
            },
            content=picture or b"",
            timeout=TRY_TIMEOUT,
        )
        return _read(Tried, response)

    # pictures over many runs

    def pareto(self, *, dataset: str, mode: str, profile: str) -> Pareto:
        return self._get(Pareto, "/pareto", dataset=dataset, mode=mode, profile=profile)

    def pareto_columns(
        self, *, dataset: str, mode: str, profile: str, steps: int | None = None, archived: bool = False,
        at_most_pj: float | None = None, **times: float,
    ) -> ParetoColumns:  # fmt: skip
        """The same as columns; with `steps` every run is stopped after so many of its time steps.

        With `at_most_pj` each is stopped where it is most accurate at no more energy than that; `times`: `ac`, `mac`, `memory`, as
        of `compare`.
        """
        return self._get_large(
            ParetoColumns, "/pareto", dataset=dataset, mode=mode, profile=profile, steps=steps, columns="true",
            archived="true" if archived else None, at_most_pj=at_most_pj, **times,
        )  # fmt: skip

    def compare(
        self, run_ids: Sequence[str], *, mode: str, profile: str, ac: float = 1.0, mac: float = 1.0, memory: float = 1.0
    ) -> Comparison:
        """Two to ten succeeded runs; the first is what the others are held against. `ac`, `mac` and `memory` say how
        many times the profile's own price each costs."""
        query = {"mode": mode, "profile": profile, "ac": ac, "mac": mac, "memory": memory}
        return self._get(Comparison, "/compare", runs=",".join(map(_part, run_ids)), **query)

    def ensemble(self, first: str, second: str, *, mode: str, profile: str, **times: float) -> ComparedEnsemble:
        """Two succeeded runs that answer together; `times`: `ac`, `mac`, `memory`, as of `compare`."""
        return self._get(
            ComparedEnsemble, "/compare/ensemble", first=first, second=second, mode=mode, profile=profile, **times
        )

    # views that were kept

    def views(self) -> SavedViews:
        return self._get(SavedViews, "/views")

    def save_view(self, view: NewView) -> SavedView:
        return self._send(SavedView, "POST", "/views", body=view)

    def forget_view(self, view_id: str) -> None:
        self._request("DELETE", f"/views/{_part(view_id)}")

    # the printed tables

    def audit(self, source: str | None = None) -> Audit:
        return self._get(Audit, "/audit", source=source)

    def audit_table(self, content: bytes, *, name: str) -> Audit:
        """Another paper's table: the content of a CSV file."""
        headers = {"Content-Type": "text/csv"}
        return _read(Audit, self._request("POST", "/audit", query={"name": name}, content=content, headers=headers))

    def measured_audit(self) -> MeasuredAudit:
        """Succeeded runs of the networks in the printed tables."""
        return self._get_large(MeasuredAudit, "/audit/measured")

    # shares

    def share(self, request: ShareRequest) -> NewShare:
        return self._send(NewShare, "POST", "/shares", body=request)

    def shares(self) -> SharePage:
        return self._get(SharePage, "/shares")

    def revoke(self, share_id: str) -> None:
        self._request("DELETE", f"/shares/{_part(share_id)}")

    # who asks, accounts, tokens

    def sign_in_ways(self) -> SignInWays:
        return self._get(SignInWays, "/sign-in")

    def sign_in(self, asked: SignIn) -> SignedIn:
        return self._send(SignedIn, "POST", "/sign-in", body=asked)

    def begin_at_provider(self) -> SignInBegun:
        return self._send(SignInBegun, "POST", "/sign-in/provider")

    def answered_by_provider(self, answer: ProviderAnswer) -> SignedIn:
        return self._send(SignedIn, "POST", "/sign-in/provider/answer", body=answer)

    def sign_out(self) -> None:
        self._request("POST", "/sign-out")

    def me(self) -> Me:
        return self._get(Me, "/me")

    def change_password(self, change: PasswordChange) -> None:
        self._request("POST", "/me/password", body=change)

    def accounts(self) -> Accounts:
        return self._get(Accounts, "/accounts")

    def add_account(self, new: NewAccount) -> Account:
        return self._send(Account, "POST", "/accounts", body=new)

    def change_account(self, name: str, **change: Any) -> Account:
        """`role`, `disabled` or `password`."""
        path = f"/accounts/{quote(name, safe='')}"
        return self._send(Account, "PATCH", path, body=AccountChange.model_validate(change))

    def tokens(self) -> Tokens:
        return self._get(Tokens, "/tokens")

    def add_token(self, asked: TokenRequest) -> NewToken:
        return self._send(NewToken, "POST", "/tokens", body=asked)

    def revoke_token(self, token_id: str) -> None:
        self._request("DELETE", f"/tokens/{_part(token_id)}")

    def audit_log(self, *, cursor: str | None = None, limit: int | None = None) -> AuditLog:
        """Of who did what; for administrators."""
        return self._get(AuditLog, "/audit-log", cursor=cursor, limit=limit)

    # health

    def ready(self) -> ReadyCheck:
        """Also when a part is not well: then `ok` is False and the answer says which."""
        response = self._request("GET", "/health/ready", refuse=lambda response: response.status_code not in (200, 503))
        return _read(ReadyCheck, response)

    def answers(self) -> bool:
        """Whether the API is there at all."""
        try:
            return self._http.get(f"{PREFIX}/health/live", timeout=LIVE_TIMEOUT).is_success
        except httpx.HTTPError:
            return False

    def absolute(self, url: str) -> str:
        """An address that the API gave, as a browser can follow it."""
        return str(httpx.URL(self.public_url + "/").join(url))

    @property
    def docs_url(self) -> str:
        return f"{self.public_url}{PREFIX}/openapi.json"

    # plumbing

    def _get(self, model: type[Model], path: str, **query: Any) -> Model:
        return _read(model, self._request("GET", path, query=query))

    def _get_large(self, model: type[Model], path: str, **query: Any) -> Model:
        """An answer that pages ask for again and again. It may be one that others have in hand: nobody changes it."""
        response = self._request("GET", path, query=query)
        try:
            return _parsed(model, response.content)
        except ValidationError:
            return _read(model, response)

    def _send(
        self, model: type[Model], method: str, path: str, *, body: Frozen | None = None, headers: dict | None = None
    ) -> Model:
        return _read(model, self._request(method, path, body=body, headers=headers))

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Frozen | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        refuse: Callable[[httpx.Response], bool] = lambda response: not response.is_success,
    ) -> httpx.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None and value != []}
        content = content if body is None else body.model_dump_json().encode()
        request_id = request_ids.made()
        sent = {
            request_ids.HEADER: request_id,
            **(headers or {}),
            **({} if body is None else {"Content-Type": "application/json"}),
        }
        asked = {"params": params, "content": content, "headers": sent, "auth": self._auth}
        try:
            if method == "GET" or path in READS:
                try:
                    response = self._http.request(method, PREFIX + path, timeout=FIRST_TIMEOUT, **asked)
                except httpx.ReadTimeout:
                    if not self.answers():
                        raise
                    response = self._http.request(method, PREFIX + path, timeout=timeout, **asked)
            else:
                response = self._http.request(method, PREFIX + path, timeout=timeout, **asked)
        except httpx.HTTPError as error:
            log.warning("api.down", extra={"path": path, "why": type(error).__name__, "request_id": request_id})
            raise ApiDown from error
        if refuse(response):
            raise _problem(response)
        return response


def _part(name: str) -> str:
    """An id as a path segment. One from the address bar may be anything, and must not reach another endpoint."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise ApiProblem(
            status=404,
            code="not-found",
            title="Not found",
            detail=f"There is nothing with id {name[:64]!r}.",
            fields={},
        )
    return name


@lru_cache(maxsize=LARGE_KEPT)
def _parsed(model: type[Model], content: bytes) -> Model:
    """To compare a megabyte takes a tenth of a millisecond, to read it fifty."""
    return model.model_validate_json(content)


def _read(model: type[Model], response: httpx.Response) -> Model:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        # Another program on that port, or an API of another version: not an answer that a page can use.
        log.error("api.unreadable", extra={"url": str(response.url.path), "why": str(error)[:500]})
        raise ApiProblem(
            status=response.status_code,
            code="unreadable",
            title="The API's answer cannot be read",
            detail="The API and the dashboard may be of different versions. Restart both.",
            fields={},
        ) from error


def _problem(response: httpx.Response) -> ApiProblem:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        log.error("api.unknown_refusal", extra={"status": response.status_code, "path": response.url.path})
        return ApiProblem(
            status=response.status_code,
            code="unknown",
            title="The API refused",
            detail=f"It answered with status {response.status_code} and no explanation.",
            fields={},
        )
    return ApiProblem(
        status=problem.status,
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        fields=problem.fields,
        request_id=problem.request_id,
    )
