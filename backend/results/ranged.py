"""A file as an answer, whole or in ranges. A range that cannot be given is a problem, like all else that goes wrong."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from backend.problems import routed

KEPT = "content-range"  # tells how long the file is


class RangedFile(FileResponse):
    """FileResponse, which answers a bad range with plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: list[Message] = []

        async def heard(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused.append(message)
            if not refused:
                await send(message)

        await super().__call__(scope, receive, heard)
        for message in refused:
            found = Headers(raw=message["headers"])
            headers = {"Content-Range": found[KEPT]} if KEPT in found else None
            detail = "" if message["status"] == 416 else "The header Range cannot be read: send bytes=<first>-<last>."
            answer = routed(message["status"], instance=scope["path"], headers=headers, detail=detail)
            await answer(scope, receive, send)
