"""Fills the templates of pages: their style, colours and footer are one."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

from .. import __version__
from . import chart_svg


def render(template: Path, **values: Any) -> str:
    """The page; a template may include `style.css.j2`, and knows `colours`, `made` and `software`.

    Values are escaped.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    software = f"SyncTalk for Blender {__version__}, Python {platform.python_version()}, {platform.system()}"
    return environment.get_template(template.name).render(
        colours=chart_svg.PAGE_COLOURS,
        made=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        software=f"{software} {platform.machine()}",
        **values,
    )
