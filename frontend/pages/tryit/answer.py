"""HTML of one image that was tried: what the networks saw of it, and what each says so far."""

from __future__ import annotations

import re

from core.report.charts import theme
from core.report.charts.prediction_steps import said
from core.report.markup import render
from core.schemas.images import Example
from core.schemas.inference import Inference, Picture, Tried
from core.units import common_energy_scale, energy_in
from frontend.keys import Key
from frontend.pages.tryit import clip

PNG_URI = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def own(address: str) -> str:
    """An image that the API sent as a data address; anything else would be a request to elsewhere."""
    return address if PNG_URI.fullmatch(address) else ""


def source(tried: Tried) -> str:
    """What was tried, as charts name it."""
    if tried.clip is not None:
        return "a recording of your own"
    return "a picture of your own" if tried.index is None else f"test image {tried.index}"


def seen(tried: Tried) -> str:
    """The image as it went in; a picture or sound of one's own also with the part that was taken."""
    if tried.clip is not None:
        words = {"title": "what the networks see", "below": clip.words(tried.clip)}
        words["alt"] = "The log-mel picture of the recording, as the networks see it"
    elif tried.picture is None:
        words = {"title": tried.truth or "", "below": f"test image {tried.index}"}
        words["alt"] = f"Test image {tried.index}, a {tried.truth}"
    else:
        words = {"title": "what the networks see", "below": "", "alt": "The picture as the networks see it"}
    whole = _whole(tried.picture) if tried.picture is not None else None
    return render("seen.html", source=own(tried.image), whole=whole, **words)


def _whole(picture: Picture) -> dict[str, str]:
    """A picture of one's own, with where the part lies in it that was taken."""
    left, top, right, bottom = picture.crop
    place = (
        f"left:{100 * left / picture.width:.2f}%;top:{100 * top / picture.height:.2f}%;"
        f"width:{100 * (right - left) / picture.width:.2f}%;height:{100 * (bottom - top) / picture.height:.2f}%"
    )
    return {
        "source": own(picture.preview),
        "place": place,
        "size": f"{picture.width:,}×{picture.height:,}",
        "taken": f"{right - left:,}×{bottom - top:,}",
    }


def answers(tried: Tried, step: int) -> str:
    """A row a network: what it says after `step` steps, how sure it is, and what that cost."""
    networks = [tried.answer, *([tried.twin] if tried.twin else [])]
    unit = common_energy_scale(network.energy_pj[-1] for network in networks)  # the same after each step
    return render("answers.html", rows=[_row(network, step, tried.truth, unit) for network in networks])


def _row(network: Inference, step: int, truth: str | None, unit: tuple[float, str]) -> dict[str, str]:
    at = min(step, network.time_steps)
    name, sure = said(network, at)
    return {
        "network": network.label,
        "when": f"after step {at} of {network.time_steps}" if network.time_steps > 1 else "one pass",
        "verdict": "" if truth is None else "right" if name == truth else "wrong",
        "sign": "✓" if name == truth else "✗",
        "says": name,
        "sure": theme.percent(sure),
        "energy": energy_in(network.energy_pj[at - 1], unit),
    }


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
    images = [(_key(item.index), own(item.image)) for item in examples if own(item.image)]
    return render("gallery.html", images=images, chosen=None if chosen is None else _key(chosen))


def _key(index: int) -> str:
    return Key.TRY_IMAGE.of(str(index))
