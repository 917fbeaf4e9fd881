"""Follows a name in the store: when it comes to mean another version, that one takes over without a request lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from handrail.core.errors import HandrailError
from handrail.model import Model, load
from handrail.serve.api import Api, Version
from handrail.store import Store

LOOK_S: Final = 0.05
LONGEST_PAUSE_S: Final = 10.0

log = logging.getLogger("handrail.serve")


async def following(
    reference: str, apis: Mapping[str, Api], version: Callable[[Model], Version], reload_s: float
) -> None:
    """Looks every `reload_s` whether the name means another version by now. One that does not start is left out."""
    refused, pause_s = None, reload_s
    while True:
        await asyncio.sleep(pause_s)
        try:
            path = await asyncio.to_thread(Store().find, reference)
        except HandrailError:
            continue  # the model was removed: what is loaded goes on
        current = next(api for api in apis.values() if api.name == reference.partition("@")[0])
        if path in (current.current.model.bundle.path, refused):
            continue
        try:
            await _switched(current, version(await asyncio.to_thread(load, reference)))
            pause_s = reload_s
        except HandrailError as error:
            # A damaged bundle stays damaged. What the machine was short of may be there later.
            refused = path if error.code == "bundle" else None
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            log.warning("%s does not start, the version before goes on: %s", path, error)


async def _switched(api: Api, newer: Version) -> None:
    try:
        await newer.pool.open()
    except BaseException:
        await newer.pool.close()
        raise
    before = api.switch(newer)
    log.warning("%s: version %s took over from %s", api.name, newer.number, before.number)
    try:
        while not before.batcher.is_quiet:
            await asyncio.sleep(LOOK_S)
    finally:  # also when the gateway ends meanwhile
        await before.pool.close()
