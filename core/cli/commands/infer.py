"""`spikefront infer`: a process with the engine loaded that puts single images through trained networks.

Protocol, JSON lines. It prints `{"type": "ready"}`, then reads requests (core.schemas.inference.InferRequest), one a
line, and answers each with one line. It ends when standard input closes. Standard error is for people.
"""

from __future__ import annotations

import os
import sys
import traceback

from pydantic import ValidationError

from core.errors import SpikefrontError
from core.schemas.inference import Inferred, InferRequest, NotInferred
from core.schemas.results import Ready


def infer() -> None:
    """Wait with the engine loaded for images on standard input, until it closes."""
    # what a library prints must not stand between the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from core.engine.infer import Networks
    from core.engine.warm import warm_up
    from core.host.malloc import keep_freed_memory

    keep_freed_memory()
    warm_up(training=False)
    networks = Networks()
    try:
        answers.write(Ready().model_dump_json().encode() + b"\n")
        answers.flush()
        for line in sys.stdin.buffer:
            answers.write(_answer(line, networks).model_dump_json().encode() + b"\n")
            answers.flush()
    except BrokenPipeError:  # whoever asked is gone
        pass


def _answer(line: bytes, networks: object) -> Inferred | NotInferred:
    from core.engine.infer import infer

    try:
        return infer(InferRequest.model_validate_json(line), networks)
    except SpikefrontError as error:
        return NotInferred.of(error)
    except ValidationError as error:
        return NotInferred(code="invalid-request", message=f"The request cannot be read: {error.error_count()} faults.")
    except Exception as error:  # noqa: BLE001  whoever asked must learn of a bug too, and the next request may fare better
        traceback.print_exc()
        return NotInferred(code="internal", message=f"The engine failed: {type(error).__name__}.")
