"""Messages to the prompt that a model was trained to answer: its chat template, which may compute but not run away."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import minijinja

from handrail.core.errors import HandrailError, listed
from handrail.core.field import described
from handrail.core.jsons import is_deeper
from handrail.encode.marks import pattern_of
from handrail.encode.tokens import Tokenizer

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
MAX_TEMPLATE: Final = 2**18
MOST_MESSAGES: Final = 10_000
# Arguments that are nested deeper stay a text.
MOST_LEVELS: Final = 64
# What a template may compute, in steps and bytes: for itself, and for each character of the messages.
FUEL, FUEL_PER_CHARACTER = 1_000_000, 40
# For models that were never taught to chat. Their answers end where the next speaker begins.
PLAIN: Final = """\
{%- for message in messages %}
{{- {"system": "", "developer": "", "user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}[message.role] }}
{{- message.content }}{{ "\\n\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}Assistant:{% endif %}"""
PLAIN_STOPS: Final = ("\nUser:", "\nTool:")
# Hugging Face's own tag around what a model is trained to say; around nothing else, it changes nothing.
GENERATION: Final = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
# The one way to make a long text that costs a template nothing.
FORMAT: Final = re.compile(r"\.\s*format\s*\(")
# How far a line of JSON may be indented, and how much may stand between its parts.
MOST_BETWEEN: Final = 16
# Stands inside the name of a special token that somebody wrote in a message, so that it stays plain text.
GUARD: Final = "\ue000"


class Chat:
    """A chat template; `names` are what it may call special tokens: {"bos_token": "<s>", …}. None is the plain one."""

    def __init__(self, template: str | None, names: Mapping[str, str] | None = None) -> None:
        self.is_plain = template is None
        self.stop = PLAIN_STOPS if template is None else ()
        self._template = PLAIN if template is None else template
        self._names = dict(names or {})
        self._lock = threading.Lock()
        self._json_left = FUEL
        if len(self._template) > MAX_TEMPLATE:
            raise _faulty(f"it is longer than {MAX_TEMPLATE:,} characters")
        if FORMAT.search(self._template):
            raise _faulty("it calls .format(), which is not taken")

    @property
    def takes_tools(self) -> bool:
        """Whether the template looks at tools at all."""
        return re.search(r"\btools\b", self._template) is not None

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None, *,
        opens: bool = True,
    ) -> str:  # fmt: skip
        """The prompt; `opens` adds what stands before an answer.

        Raises HandrailError ("data") for messages that are none or that the template refuses, ("bundle") for a
        template that fails.
        """
        given = {"messages": _messages(messages), "tools": list(tools) if tools else None}
        fuel = FUEL + FUEL_PER_CHARACTER * len(json.dumps(given, default=str))
        environment = self._environment
        try:
            with self._lock:  # the fuel is the environment's
                environment.fuel = self._json_left = fuel
                return environment.render_template(
                    "chat", **given, documents=None, add_generation_prompt=opens, **self._names
                )
        except HandrailError:
            raise
        except Exception as error:
            raise _faulty(str(error).strip().splitlines()[0][:200] if str(error) else "it fails") from error

    def tokens(
        self, tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None, *, opens: bool = True,
    ) -> list[int]:  # fmt: skip
        """The prompt's tokens. Marks are read in the template's own words only: a message that contains the name of a
        special token cannot pass itself off as another speaker's."""
        if not tokenizer.marks:
            return tokenizer.encode(self.prompt(messages, tools, opens=opens))
        written, hidden = _patterns(tokenizer.marks)
        # Only as the template sees them: a name may come about where parts are joined, or JSON in a text is read.
        text = self.prompt(_guarded(_messages(messages), written), _guarded(tools, written), opens=opens)
        found, start = [], 0
        for match in hidden.finditer(text):
            found += tokenizer.encode(text[start : match.start()], special=True)
            found += tokenizer.encode(match[0].replace(GUARD, ""))
            start = match.end()
        return found + tokenizer.encode(text[start:], special=True)

    def _json(self, value: Any, **style: Any) -> str:
        """A value as JSON, which is written outside of the template and so takes none of its fuel."""
        text = _to_json(value, **style)
        self._json_left -= len(text)
        if self._json_left < 0:
            raise _faulty("it writes too much JSON")
        return text

    @cached_property
    def _environment(self) -> minijinja.Environment:
        environment = minijinja.Environment(
            trim_blocks=True, lstrip_blocks=True, debug=False, auto_escape_callback=lambda _: False,
            filters={"tojson": self._json}, tests={"iterable": lambda value: hasattr(value, "__iter__")},
            globals={"raise_exception": _refuse, "strftime_now": _now},
        )  # fmt: skip
        source = GENERATION.sub(
            lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", self._template
        )
        try:
            environment.add_template("chat", source)
        except Exception as error:
            raise _faulty(str(error).strip().splitlines()[0][:200]) from error
        return environment


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as templates expect them: contents are texts, arguments of calls are objects."""
    if not isinstance(messages, list | tuple) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise _off(f"expected 1 to {MOST_MESSAGES:,} messages, received {described(messages)}")
    return [_message(message, number) for number, message in enumerate(messages, 1)]


def _message(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise _off(f"message {number}: expected an object with role and content, received {described(message)}")
    if message.get("role") not in ROLES:
        raise _off(f"message {number}: its role is {described(message.get('role'))}, not one of {listed(ROLES)}")
    found = {**message, "content": _content(message.get("content"), number)}
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
            raise _off(f"message {number}: its tool_calls are {described(calls)}, not a list of objects")
        found["tool_calls"] = [_with_object(call) for call in calls]
    return found


def _content(content: Any, number: int) -> str:
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        odd = [part.get("type") for part in content if part.get("type") != "text"]
        if not odd and all(isinstance(part.get("text"), str) for part in content):
            return "".join(part["text"] for part in content)
        raise _off(
            f"message {number}: it has a part of the type {described(odd[0] if odd else None)}, only text is read"
        )
    if content is not None and not isinstance(content, str):
        raise _off(f"message {number}: its content is {described(content)}, not a text")
    return content or ""


def _with_object(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call whose arguments are an object: clients of OpenAI send them as a text of JSON."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    return call if is_deeper(arguments, MOST_LEVELS) else {**call, "function": {**function, "arguments": arguments}}


def _guarded(value: Any, names: re.Pattern[str]) -> Any:
    """A value of texts, lists and objects in which no name of a special token stands."""
    if isinstance(value, str):
        return names.sub(lambda match: _hidden(match[0]), value)
    if isinstance(value, Mapping):
        # What a template asks for by name stays as it is called.
        return {
            key if key.isidentifier() else _guarded(key, names): _guarded(item, names) for key, item in value.items()
        }
    return [_guarded(item, names) for item in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=8)
def _patterns(names: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds the names of special tokens as they are written, and hidden."""
    return pattern_of(names), pattern_of([_hidden(name) for name in names])


def _hidden(name: str) -> str:
    return name[0] + GUARD + name[1:]


def _to_json(value: Any, indent: int | str | None = None, separators: Any = None, sort_keys: bool = False,
             ensure_ascii: bool = False) -> str:  # fmt: skip
    """As transformers writes it: no marks of HTML are escaped, letters stay."""
    pair = None
    if separators:
        item, key = separators
        pair = str(item)[:MOST_BETWEEN], str(key)[:MOST_BETWEEN]
    if indent is not None:
        indent = indent[:MOST_BETWEEN] if isinstance(indent, str) else min(int(indent), MOST_BETWEEN)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


def _refuse(problem: str) -> str:
    raise _off(f"the model's chat template refuses them: {str(problem)[:200]}")


def _now(form: str) -> str:
    return time.strftime(form[:200])


def _off(problem: str) -> HandrailError:
    mend = 'send [{"role": "user", "content": "Hello"}]'
    return HandrailError("data", problem, mend, field="messages")


def _faulty(problem: str) -> HandrailError:
    mend = "import the model again from where it came, or give it another template: --chat-template FILE"
    return HandrailError("bundle", f"the chat template cannot be used: {problem}", mend)
