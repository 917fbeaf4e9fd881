"""Fine-tuning: a model that writes, taught to write like some text, or to answer like some conversations."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, quiet

if TYPE_CHECKING:
    from handrail.finetuning.plan_values import Plan
    from handrail.model import Model

__all__ = ["finetune"]

PACKAGES: Final = ("torch", "transformers", "safetensors", "charset_normalizer")


def finetune(
    *data: object,
    base: str | None = None,
    name: str | None = None,
    time: float | str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    method: str | None = None,
    from_scratch: bool = False,
    characters: bool = False,
    column: str | None = None,
    encoding: str | None = None,
    test: object = None,
    balance: bool = False,
    length: int | None = None,
    rate: float | None = None,
    bits: int = 8,
    samples: int = 1,
    seed: int = 0,
    resume: bool = True,
    home: Path | None = None,
    tell: Tell = quiet,
) -> Model:
    """A model that writes like `data`: files of text, folders, patterns, CSV or JSON lines, DataFrames, lists of rows.

    `base` is what is taught: a base of the catalog ("smollm2", the default), a folder, a .gguf file, or a model of
    yours, which is gone on with. Rows with a prompt and an answer, or with messages, teach to answer. `time`, `steps`
    and `epochs` limit the training, each exactly; without any it ends when held-out text is foretold no better, after
    10 minutes or three passes. `method` is "lora", "blocks" (without the table of tokens) or "full". `from_scratch`
    begins with a tokenizer and a small network of its own; `characters` makes each character a token. `balance` gives
    each of several sources the same weight; `test` is text to score with.

    The first Ctrl-C keeps the best so far; the same call goes on with it. Raises HandrailError in one sentence, with
    what to type.
    """
    given = {name: value for name, value in locals().items() if name not in ("data", "tell")}
    started = monotonic()  # the libraries take some of the time, too
    refuse_missing_packages()
    request = importlib.import_module("handrail.finetuning.asked").checked(data, **given)
    found: Model = importlib.import_module("handrail.finetuning.act").carry_out(request, tell, started)
    return found


def planned(*data: object, tell: Tell = quiet, **options: Any) -> Plan:
    """What `finetune` would do with the same arguments, with the reasons; nothing is trained."""
    refuse_missing_packages()
    known = {name: value for name, value in (finetune.__kwdefaults__ or {}).items() if name != "tell"}
    request = importlib.import_module("handrail.finetuning.asked").checked(data, **{**known, **options})
    found: Plan = importlib.import_module("handrail.finetuning.preparing").prepared(request, tell).plan
    return found


def refuse_missing_packages() -> None:
    """Raises HandrailError ("environment") before anything is read when what trains is not installed."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise HandrailError(
                "environment",
                f"{package.replace('_', '-')} is not installed: fine-tuning needs it",
                "pip install 'handrail[torch]' (about 250 MB to download where torch's build for CPUs is taken: "
                "--extra-index-url https://download.pytorch.org/whl/cpu; some gigabytes with the one for GPUs)",
            )
