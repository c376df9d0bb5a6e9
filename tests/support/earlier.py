"""Bundles as earlier programs wrote them."""

import json

from core.bundle import Bundle


def before_images_were_noted(bundle: Bundle) -> None:
    path = bundle.path / "summary.json"
    content = json.loads(path.read_text())
    del content["data_digest"]
    path.write_text(json.dumps(content))
    bundle.seal()
