"""The queue of texts: turns, slots, deadlines, and what becomes of texts when replicas die. Nothing runs here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.serve.batcher import Batching
from handrail.serve.messages import Unframer
from handrail.serve.metrics import Metrics
from handrail.serve.streams import Streams
from handrail.serve.talks import MOST_UNREAD, Asked, Talk

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 1, "slid_tokens": 0}


class Link:
    """A replica that does what the test says."""

    def __init__(self, slots: int = 2) -> None:
        self.told = {"slots": slots}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.state = "up"

    def send(self, message: bytes) -> None:
        for header, payload in Unframer().feed(message):
            self.sent.append((header["do"], json.loads(payload) if payload else {}))

    def kill(self) -> None:
        self.state = "killed"

    def close(self) -> None:
        self.state = "closed"

    @property
    def prompts(self) -> list[str]:
        return [told["prompt"]["text"] for verb, told in self.sent if verb == "submit"]

    def number(self, prompt: str) -> int:
        return int(
            [told["id"] for verb, told in self.sent if verb == "submit" and told["prompt"].get("text") == prompt][-1]
        )


def asked(prompt: str) -> Asked:
    return Asked({"text": prompt}, {"seed": 1})


def piece(number: int, text: str, *tokens: int, finish: str | None = None) -> dict[str, Any]:
    return {"pieces": [[number, text, list(tokens), None, finish, USAGE if finish else None, None]]}


class Bench:
    """A queue, and what is asked of it."""

    def __init__(self, words: str = "", **batching: Any) -> None:
        self.streams = Streams(Metrics(), lambda row: asked(row[0]), Batching(**batching), words=words)

    def ask(self, *prompts: str, client: str = "a", timeout_s: float = 10.0, whole_s: float = 100.0) -> Talk:
        return self.streams.open([asked(one) for one in prompts], client=client, timeout_s=timeout_s, whole_s=whole_s)

    def say(self, link: Link, prompt: str, text: str, *tokens: int, finish: str | None = None) -> None:
        self.streams.replied(link, piece(link.number(prompt), text, *tokens, finish=finish), b"")

    async def join(self, *links: Link) -> None:
        for link in links:
            self.streams.joined(link)
        await turn()


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def on(act: Callable[[Bench], Awaitable[None]], **batching: Any) -> None:
    async def run() -> None:
        await act(Bench(**batching))

    asyncio.run(run())


def test_a_text_comes_piece_by_piece_and_frees_its_slot() -> None:
    async def act(bench: Bench) -> None:
        link = Link(slots=1)
        await bench.join(link)
        first, second = bench.ask("one"), bench.ask("two")
        await turn()
        assert link.prompts == ["one"]
        bench.say(link, "one", "He", 5)
        assert [said.text for said in await first.some()] == ["He"]
        bench.say(link, "one", "llo", 6, finish="stop")
        assert [(said.text, said.finish) for said in await first.some()] == [("llo", "stop")]
        assert await first.some() == []
        assert link.prompts == ["one", "two"]
        assert bench.streams.generated.tokens == {"prompt": 3, "completion": 2, "cached": 1}
        second.close()
        assert bench.streams.is_quiet
        assert link.sent[-1] == ("cancel", {"id": link.number("two")})

    on(act)


def test_clients_take_turns() -> None:
    async def act(bench: Bench) -> None:
        for number in range(5):
            bench.ask(f"a{number}", client="a")
        bench.ask("b", client="b")
        bench.ask("c", client="c")
        link = Link(slots=4)
        await bench.join(link)
        assert link.prompts == ["a0", "b", "c", "a1"]

    on(act)


def test_texts_go_where_there_is_most_room() -> None:
    async def act(bench: Bench) -> None:
        small, large = Link(slots=1), Link(slots=3)
        await bench.join(small, large)
        bench.ask("1", "2", "3", "4", "5")
        await turn()
        assert sorted(small.prompts + large.prompts) == ["1", "2", "3", "4"]
        assert len(large.prompts) == 3
        assert bench.streams.waiting == 1

    on(act)


def test_a_text_goes_on_after_its_tokens_when_its_replica_is_ended() -> None:
    async def act(bench: Bench) -> None:
        first, second = Link(), Link()
        await bench.join(first)
        talk = bench.ask("one")
        await turn()
        bench.say(first, "one", "He", 5, 6)
        bench.streams.lost(first, crashed=False)
        await bench.join(second)
        ((_, told),) = second.sent
        assert (told["resume"], told["settings"]["seed"]) == ([5, 6], 1)
        bench.say(second, "one", "y", 7, finish="stop")
        (said,) = await talk.all()
        assert "".join(one.text for one in said) == "Hey"
        assert said[-1].usage is not None
        assert said[-1].usage["completion_tokens"] == 3
        assert bench.streams.generated.resumed == 1

    on(act)


def test_a_text_that_was_written_for_long_may_wait_anew_when_its_replica_is_ended() -> None:
    async def act(bench: Bench) -> None:
        first, second = Link(), Link()
        await bench.join(first)
        talk = bench.ask("one")
        await turn()
        bench.say(first, "one", "He", 5)
        talk.streams[0].patience = 0.0
        bench.streams.lost(first, crashed=False)
        bench.streams.tick(10, ping=False)
        await bench.join(second)
        bench.say(second, "one", "y", 7, finish="stop")
        assert "".join(said.text for said in (await talk.all())[0]) == "Hey"

    on(act)


def test_after_a_crash_suspects_are_let_in_one_by_one_and_the_guilty_one_alone_is_refused() -> None:
    async def act(bench: Bench) -> None:
        first, second, third = Link(4), Link(4), Link(4)
        await bench.join(first)
        good, bad, other = bench.ask("good"), bench.ask("bad"), bench.ask("other")
        await turn()
        assert len(first.prompts) == 3
        bench.streams.lost(first, crashed=True)
        await bench.join(second)
        assert second.prompts == ["good"]
        bench.say(second, "good", "a", 1)
        assert second.prompts == ["good", "bad"]
        bench.streams.lost(second, crashed=True)
        with pytest.raises(HandrailError, match="crashed on this request, twice"):
            await bad.some()
        await bench.join(third)
        for prompt, talk in (("good", good), ("other", other)):
            bench.say(third, prompt, "z", 2, finish="stop")
            assert (await talk.all())[0][-1].finish == "stop"
        with pytest.raises(HandrailError, match="crashed the model before"):
            bench.ask("bad")

    on(act)


def test_what_waits_too_long_or_takes_too_long_is_told_so() -> None:
    async def act(bench: Bench) -> None:
        link = Link(slots=1)
        await bench.join(link)
        slow, waiting = bench.ask("one", whole_s=0.0), bench.ask("two")
        waiting.streams[0].patience = 0.0
        await turn()
        bench.streams.tick(10, ping=False)
        with pytest.raises(HandrailError, match="took longer than allowed"):
            await slow.some()
        with pytest.raises(HandrailError, match="no replica was free"):
            await waiting.some()
        assert bench.streams.is_quiet

    on(act)


def test_too_much_is_refused_with_a_hint_when_to_come_again() -> None:
    async def act(bench: Bench) -> None:
        for number in range(3):
            bench.ask(str(number))
        with pytest.raises(HandrailError, match="too much is waiting"):
            bench.ask("more")
        assert bench.streams.retry_after_s() >= 1

    on(act, max_waiting=3)


def test_a_replica_that_says_nothing_is_killed() -> None:
    async def act(bench: Bench) -> None:
        link = Link()
        await bench.join(link)
        bench.streams.tick(0.0, ping=True)
        assert link.sent == [("ping", {})]
        bench.streams.replied(link, {"state": {"running": 0}}, b"")
        bench.streams.tick(0.0, ping=False)
        assert link.state == "up"
        bench.streams.tick(0.0, ping=True)
        await asyncio.sleep(0.001)
        bench.streams.tick(0.0, ping=True)
        assert link.state == "killed"

    on(act)


def test_a_replica_that_is_to_go_writes_what_it_has() -> None:
    async def act(bench: Bench) -> None:
        busy, idle = Link(), Link(slots=1)
        await bench.join(busy)
        bench.ask("one")
        await turn()
        await bench.join(idle)
        bench.streams.retire(busy)
        bench.streams.retire(idle)
        assert (busy.state, idle.state) == ("up", "closed")
        bench.ask("two")
        await turn()
        assert busy.prompts == ["one"]
        bench.say(busy, "one", "a", 1, finish="stop")
        assert busy.state == "closed"

    on(act)


def test_what_waits_for_one_version_may_wait_for_another() -> None:
    async def act(bench: Bench) -> None:
        other = Bench()
        talk = other.ask("one")
        bench.ask("first")
        bench.streams.take_from(other.streams)
        assert (other.streams.waiting, bench.streams.waiting) == (0, 2)
        link = Link(8)
        await bench.join(link)
        assert link.prompts == ["first", "one"]
        talk.close()
        assert bench.streams.running == 1

    on(act)


@pytest.mark.parametrize("words", ["same", "other"])
def test_a_text_that_is_begun_goes_on_only_where_its_tokens_mean_the_same(words: str) -> None:
    async def act(bench: Bench) -> None:
        newer, link = Bench("same"), Link(8)
        await newer.join(link)
        newer.ask("begun")
        newer.streams.open([Asked({"tokens": [1, 2]}, {"seed": 1})], client="b", timeout_s=10.0)
        await turn()
        newer.say(link, "begun", "a", 7)
        newer.streams.lost(link, crashed=False)
        newer.ask("waits", client="c")
        older = Bench(words)
        older.streams.take_from(newer.streams)
        assert (newer.streams.waiting, older.streams.waiting) == ((0, 3) if words == "same" else (2, 1))
        newer.streams.close()
        assert newer.streams.is_quiet

    on(act)


def test_what_is_taken_over_wakes_a_replica() -> None:
    async def act(bench: Bench) -> None:
        newer = Bench()
        newer.ask("one")
        woken: list[bool] = []
        bench.streams.wanting = lambda: woken.append(True)
        bench.streams.take_from(newer.streams)
        assert woken == [True]

    on(act)


def test_who_asks_while_no_replica_is_there_wakes_one() -> None:
    async def act(bench: Bench) -> None:
        woken: list[bool] = []
        bench.streams.wanting = lambda: woken.append(True)
        bench.ask("one")
        assert woken == [True]
        bench.streams.close()
        assert bench.streams.is_quiet

    on(act)


def test_rows_are_prompts() -> None:
    async def act(bench: Bench) -> None:
        link = Link()
        await bench.join(link)
        future = bench.streams.submit([["one"], ["two"]], timeout_s=5)
        await turn()
        bench.say(link, "two", "2", 2, finish="length")
        bench.say(link, "one", "1", 1, finish="stop")
        answers = [json.loads(answer) for answer in await future]
        assert [(one["text"], one["finish"]) for one in answers] == [("1", "stop"), ("2", "length")]
        gone = bench.streams.submit([["three"]], timeout_s=5)
        await turn()
        gone.cancel()
        await turn()
        assert bench.streams.is_quiet
        bench.streams.submit([["four"]], timeout_s=5).cancel()  # before it was begun
        await turn()
        assert bench.streams.is_quiet

    on(act)


def test_a_client_that_does_not_read_is_given_up() -> None:
    async def act(bench: Bench) -> None:
        link = Link()
        await bench.join(link)
        talk = bench.ask("one")
        await turn()
        for number in range(MOST_UNREAD + 1):
            bench.say(link, "one", "a", number)
        assert bench.streams.is_quiet
        assert len(await talk.some()) == MOST_UNREAD + 1
        with pytest.raises(HandrailError, match="not read as it came"):
            await talk.some()

    on(act)


def test_one_text_that_fails_ends_the_others_of_its_request() -> None:
    async def act(bench: Bench) -> None:
        link = Link()
        await bench.join(link)
        talk = bench.ask("one", "two")
        await turn()
        problem = {"code": "data", "problem": "no", "mend": "so", "field": "json_schema"}
        bench.streams.replied(link, {"pieces": [[link.number("one"), "", [], None, "failed", None, problem]]}, b"")
        with pytest.raises(HandrailError, match="no"):
            await talk.all()
        assert bench.streams.is_quiet

    on(act)
