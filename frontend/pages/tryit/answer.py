"""HTML of one image that was tried: what the networks saw of it, and what each says so far."""

from __future__ import annotations

import re
from html import escape

from core.report.charts import theme
from core.report.charts.prediction_steps import said
from core.schemas.images import Example
from core.schemas.inference import Inference, Picture, Tried
from core.units import format_energy
from frontend.keys import Key

PNG_URI = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def own(address: str) -> str:
    """An image that the API sent as a data address; anything else would be a request to elsewhere."""
    return address if PNG_URI.fullmatch(address) else ""


def seen(tried: Tried) -> str:
    """The image as it went in; a picture of one's own also with the part that was taken."""
    if tried.picture is None:
        about = f'<b>{escape(tried.truth or "")}</b><span class="sf-dim">test image {tried.index}</span>'
        alt = f"Test image {tried.index}, a {tried.truth}"
    else:
        about, alt = "<b>what the networks see</b>", "The picture as the networks see it"
    image = f'<figure><img class="small" src="{own(tried.image)}" alt="{escape(alt)}"><figcaption>{about}</figcaption></figure>'
    return f'<div class="sf-seen">{_cropped(tried.picture) if tried.picture else ""}{image}</div>'


def _cropped(picture: Picture) -> str:
    left, top, right, bottom = picture.crop
    place = (
        f"left:{100 * left / picture.width:.2f}%;top:{100 * top / picture.height:.2f}%;"
        f"width:{100 * (right - left) / picture.width:.2f}%;height:{100 * (bottom - top) / picture.height:.2f}%"
    )
    size = f"{picture.width:,}×{picture.height:,}"
    taken = f"{right - left:,}×{bottom - top:,}"
    return (
        f'<figure><div class="whole"><img src="{own(picture.preview)}" alt="Your picture"><i style="{place}"></i></div>'
        f'<figcaption><b>your picture</b><span class="sf-dim">{size}, of which {taken} go in</span></figcaption></figure>'
    )


def answers(tried: Tried, step: int) -> str:
    """A row a network: what it says after `step` steps, how sure it is, and what that cost."""
    networks = [tried.answer, *([tried.twin] if tried.twin else [])]
    rows = "".join(_row(network, step, tried.truth) for network in networks)
    head = "<tr><th>network</th><th>says</th><th>confidence</th><th>energy so far</th></tr>"
    return f'<div class="sf-scroll"><table class="sf-table sf-says"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _row(network: Inference, step: int, truth: str | None) -> str:
    at = min(step, network.time_steps)
    name, sure = said(network, at)
    sign = ""
    if truth is not None:
        right = name == truth
        sign = (
            f'<span class="sign" aria-hidden="true">{"✓" if right else "✗"}</span>'
            f'<span class="sf-hidden">{"right" if right else "wrong"}</span> '
        )
    verdict = "" if truth is None else " right" if name == truth else " wrong"
    when = f"after step {at} of {network.time_steps}" if network.time_steps > 1 else "one pass"
    return (
        f'<tr><td>{escape(network.label)}<br><span class="sf-dim">{when}</span></td>'
        f'<td class="sf-answer-cell{verdict}">{sign}<b class="said">{escape(name)}</b></td>'
        f"<td>{theme.percent(sure)}</td><td>{format_energy(network.energy_pj[at - 1])}</td></tr>"
    )


def sentence(tried: Tried, step: int) -> str:
    """What the spiking network has spent of its twin's energy, and whether its answer has changed; plain text."""
    parts = []
    network, twin = tried.answer, tried.twin
    name, _ = said(network, step)
    since = next(t for t in range(1, step + 1) if all(said(network, u)[0] == name for u in range(t, step + 1)))
    if network.time_steps > 1:
        parts.append(f"It has said {name} since step {since}." if since < step else f"At step {step} it says {name}.")
    if twin is not None and twin.energy_pj[-1] > 0:
        spent = network.energy_pj[min(step, network.time_steps) - 1] / twin.energy_pj[-1]
        parts.append(f"So far it has spent {spent:.2f} times what its {twin.kind.upper()} twin spends on this image.")
    return " ".join(parts)


def gallery_css(examples: list[Example], chosen: int | None) -> str:
    """Real buttons that show their test image; the chosen one is framed."""
    rules = [
        f'.st-key-{Key.TRY_IMAGE.of(str(item.index))} button{{background-image:url("{own(item.image)}")}}'
        for item in examples
        if own(item.image)
    ]
    if chosen is not None:
        rules.append(
            f".st-key-{Key.TRY_IMAGE.of(str(chosen))} button{{outline:3px solid var(--st-primary-color,#0b6b8f);"
            "outline-offset:1px}"
        )
    return f"<style>{''.join(rules)}</style>"
