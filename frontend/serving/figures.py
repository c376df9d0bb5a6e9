"""Routes that make files of figures: the browser draws a figure as SVG or PNG, and here it becomes a PDF or a zip.

Plotly draws in browsers alone; its Python way to a file needs a Chrome on the server, which a laboratory's may not have.
So the page's own script draws, with the Plotly that comes with the Python package. Typst turns an SVG into a PDF: text
stays text, lines stay lines. All routes lie behind the guard.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import tempfile
import zipfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio.to_thread
from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from core.report.charts.printed import PX_PER_IN
from core.schemas.base import Frozen

PLOTLY, FILE = "/_figures/plotly.js", "/_figures/file"
MOST_BYTES = 48_000_000
DPI = 300
TYPES = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf", "zip": "application/zip"}
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$"
PT_PER_IN = 72


class Drawn(Frozen):
    """`content`: an SVG's text, or a PNG in base 64."""

    name: str = Field(pattern=NAME)
    content: str


class Wanted(Frozen):
    name: str = Field(pattern=NAME)
    format: str = Field(pattern="^(svg|png|pdf)$")
    figures: list[Drawn] = Field(min_length=1, max_length=40)


def routes() -> list[BaseRoute]:
    return [Route(PLOTLY, _plotly, methods=["GET"]), Route(FILE, _file, methods=["POST"])]


async def _plotly(request: Request) -> Response:
    return Response(_script(), media_type="text/javascript", headers={"cache-control": "private, max-age=86400"})


@lru_cache(maxsize=1)
def _script() -> bytes:
    return (files("plotly") / "package_data" / "plotly.min.js").read_bytes()


async def _file(request: Request) -> Response:
    if int(request.headers.get("content-length", MOST_BYTES + 1)) > MOST_BYTES:
        return PlainTextResponse("These figures are too large to be put into a file.", status_code=413)
    try:
        wanted = Wanted.model_validate_json(await request.body())
        name, content = await anyio.to_thread.run_sync(made, wanted)
    except (ValidationError, ValueError):
        return PlainTextResponse("These are no figures of this dashboard.", status_code=422)
    except ModuleNotFoundError:
        return PlainTextResponse("A PDF needs the package typst: pip install typst", status_code=501)
    return Response(
        content,
        media_type=TYPES[name.rpartition(".")[2]],
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def made(wanted: Wanted) -> tuple[str, bytes]:
    """(name, content): the figure's file, or of several a zip. Raises ValueError for what is no such picture."""
    found = [(f"{one.name}.{wanted.format}", _content(one.content, wanted.format)) for one in wanted.figures]
    if len(found) == 1:
        return found[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found:
            archive.writestr(name, content)
    return f"{wanted.name}.zip", packed.getvalue()


def _content(drawn: str, wanted: str) -> bytes:
    if wanted == "png":
        return _with_resolution(drawn)
    sized = in_inches(drawn)
    return sized.encode() if wanted == "svg" else pdf(sized)


def in_inches(svg: str) -> str:
    """Plotly's SVG with its width and height in inches instead of pixels; raises ValueError for another text."""
    head = re.match(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"', svg)
    if head is None:
        raise ValueError("not an SVG of Plotly's")
    width, height = (f"{float(px) / PX_PER_IN:.4g}in" for px in head.groups())
    start = head[0].replace(f'width="{head[1]}" height="{head[2]}"', f'width="{width}" height="{height}"')
    return start + svg[head.end() :]


def pdf(svg: str) -> bytes:
    """One page as large as the picture."""
    import typst  # 80 MB, and asked for by one button

    head = re.search(r'width="([\d.]+)in" height="([\d.]+)in"', svg)
    if head is None:
        raise ValueError("not an SVG with a size in inches")
    with tempfile.TemporaryDirectory(prefix="sf-figure-") as folder:
        page = Path(folder) / "page.typ"
        (Path(folder) / "figure.svg").write_text(svg, encoding="utf-8")
        page.write_text(
            f"#set page(width: {head[1]}in, height: {head[2]}in, margin: 0pt)\n"
            f'#image("figure.svg", width: {head[1]}in, height: {head[2]}in)\n'
        )
        try:
            return typst.compile(str(page), root=folder, format="pdf")
        except typst.TypstError as error:
            raise ValueError(str(error)) from error


def _with_resolution(drawn: str) -> bytes:
    """A PNG that says how many dots make an inch, so that a text program sets it as wide as the column."""
    from PIL import Image

    try:
        picture: Any = Image.open(io.BytesIO(base64.b64decode(drawn, validate=True)), formats=["PNG"])
        out = io.BytesIO()
        picture.save(out, "PNG", dpi=(DPI, DPI))
    except (binascii.Error, OSError, Image.DecompressionBombError) as error:
        raise ValueError("not a PNG") from error
    return out.getvalue()
