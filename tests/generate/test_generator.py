"""Many continuations at once: each comes out as if it were alone, and none harms or stalls the others."""

import threading
from collections import defaultdict

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.generate.generator import Generator
from handrail.generate.settings import Settings
from tests.generate.stand_ins import END, HashDecoder, Words

PROMPT = list(b"Once upon a time there was a model")


def generator(*, slots=9, window=256, **options):
    made = {name: options.pop(name) for name in ("vocabulary", "sharpness", "script") if name in options}
    return Generator(HashDecoder(slots, window, **made), Words(), **options)


def drained(subject, most=10_000):
    """All pieces until nothing runs, by id and index."""
    pieces = defaultdict(list)
    for _ in range(most):
        if subject.is_idle:
            return pieces
        for piece in subject.step():
            pieces[piece.id, piece.index].append(piece)
    raise AssertionError("it never ends")


def alone(prompt, settings, **options):
    return generator(slots=1, **options).answer([prompt], settings)[0]


def prompts(count, *, longest=120, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, size).tolist() for size in draw.integers(1, longest, count).tolist()]


def scripted(answer, settings, *, prompt=PROMPT, **options):
    """What is told where the model surely writes these tokens."""
    return generator(script=(prompt, list(answer)), **options).answer([prompt], settings)[0][0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_mixed_lengths_in_one_batch_come_out_as_alone(temperature):
    settings = Settings(max_tokens=40, seed=5, temperature=temperature)
    together = generator(prefill_tokens=16, keep=4).answer(prompts(60), settings)
    assert together == [
        [
            one.__class__(one.text, one.tokens, None, one.finish, mine.usage)
            for one, mine in zip(lone, many, strict=True)
        ]
        for lone, many in zip((alone(prompt, settings) for prompt in prompts(60)), together, strict=True)
    ]


def test_who_joins_late_changes_nothing_for_who_runs():
    settings, subject = Settings(max_tokens=50, seed=1), generator(prefill_tokens=8)
    first = subject.submit(PROMPT, settings)
    pieces = [piece for _ in range(10) for piece in subject.step()]
    for prompt in prompts(20):
        subject.submit(prompt, settings)
        pieces += subject.step()
    for some in drained(subject).values():
        pieces += some
    told = "".join(piece.text for piece in pieces if piece.id == first)
    assert told == alone(PROMPT, settings)[0].text


def test_the_same_seed_gives_the_same_text_and_another_another():
    texts = [alone(PROMPT, Settings(seed=seed, max_tokens=30))[0].text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_without_a_seed_each_text_is_another():
    subject = generator()
    assert len({subject.answer([PROMPT], Settings(max_tokens=30, ignore_end=True))[0][0].text for _ in range(5)}) == 5


def test_pieces_come_while_the_rest_is_not_yet_computed():
    subject = generator()
    stream = subject.stream(PROMPT, Settings(max_tokens=50, seed=1, ignore_end=True))
    next(stream)
    assert len(subject._decoder.steps) == 1
    stream.close()


def test_a_stream_that_is_left_gives_its_slot_back():
    subject = generator()
    stream = subject.stream(PROMPT, Settings(max_tokens=50, seed=1, ignore_end=True))
    next(stream)
    del stream
    subject.step()
    assert subject.is_idle
    never_begun = subject.stream(PROMPT, Settings())
    del never_begun
    subject.step()
    assert subject.is_idle and not subject._inboxes


def test_max_tokens_is_kept_exactly():
    found = alone(PROMPT, Settings(max_tokens=7, ignore_end=True, seed=3))[0]
    assert (len(found.tokens), found.finish, found.usage.completion_tokens) == (7, "length", 7)


def test_the_end_mark_ends_the_text_and_is_not_told():
    found = scripted([*b"ab", END, *b"cd"], Settings(temperature=0))
    assert (found.text, found.tokens, found.finish) == ("ab", tuple(b"ab"), "stop")


def test_the_end_mark_can_be_ignored():
    found = scripted([*b"ab", END, *b"cd"], Settings(temperature=0, max_tokens=5, ignore_end=True))
    assert (found.text, found.finish) == ("abcd", "length")


@pytest.mark.parametrize(
    "answer",
    [[*b"abEND", *b"x" * 50], [*b"ab", 258, *b"x" * 50], [*b"ab", 259, 260, *b"x" * 50], [*b"abE", *b"ND", *b"x" * 50]],
)
def test_stop_strings_across_token_borders_are_never_told_and_end_the_computing(answer):
    subject = generator(script=(PROMPT, answer))
    stream = list(subject.stream(PROMPT, Settings(temperature=0, stop=("END",))))
    assert "".join(piece.text for piece in stream) == "ab"
    assert all("E" not in piece.text for piece in stream)
    assert stream[-1].finish == "stop"
    assert len(subject._decoder.steps) == sum(len(piece.tokens) for piece in stream) <= 5


def test_what_only_began_like_a_stop_string_is_told_at_the_end():
    assert scripted(b"abEN", Settings(temperature=0, stop=("END",))).text == "abEN"


def test_only_whole_characters_are_told():
    subject = generator(script=(PROMPT, [261, 262, 261, 262, 261]))
    texts = [piece.text for piece in subject.stream(PROMPT, Settings(temperature=0))]
    assert texts == ["", "éx", "", "éx", "", ""]


def test_logprobs_come_with_each_token_and_the_chosen_greedy_one_is_on_top():
    found = alone(PROMPT, Settings(temperature=0, logprobs=5, max_tokens=10, ignore_end=True, repetition_penalty=1.0))[
        0
    ]
    assert [each.token for each in found.logprobs] == list(found.tokens)
    assert all(each.top[0] == (each.token, each.logprob) and len(each.top) == 5 for each in found.logprobs)


def test_logprobs_of_all_tokens_sum_to_one():
    subject = generator(vocabulary=16, sharpness=1.0)
    found = subject.answer([[1, 2, 3]], Settings(logprobs=20, max_tokens=5, ignore_end=True))[0][0]
    assert [sum(np.exp([value for _, value in each.top])) for each in found.logprobs] == pytest.approx(
        [1] * 5, abs=1e-5
    )


def test_logprobs_are_those_of_the_model_not_of_the_penalties():
    settings = Settings(temperature=0, logprobs=1, max_tokens=20, ignore_end=True, presence_penalty=2.0)
    subject = generator(sharpness=0.0)
    found = subject.answer([PROMPT], settings)[0][0]
    assert len(set(found.tokens)) == 20
    assert any(each.top[0][0] != each.token for each in found.logprobs)


def test_logprobs_0_tells_the_chosen_alone():
    found = alone(PROMPT, Settings(logprobs=0, max_tokens=3, ignore_end=True))[0]
    assert [each.top for each in found.logprobs] == [(), (), ()]


def test_n_reads_the_prompt_once_and_gives_different_texts():
    subject = generator(slots=12, window=512)
    prompt = prompts(1, seed=4)[0] * 3
    found = subject.answer([prompt], Settings(n=8, seed=1, max_tokens=20, ignore_end=True))[0]
    assert len({one.text for one in found}) == 8
    assert sum(subject._decoder.prefilled) == len(prompt) - 1
    assert [one.usage.cached_tokens for one in found] == [0] + [len(prompt) - 1] * 7


def test_n_more_than_there_are_slots_come_one_after_another():
    assert len(generator(slots=3).answer([PROMPT], Settings(n=20, max_tokens=5))[0]) == 20


def test_each_of_n_comes_out_as_when_asked_for_by_its_index():
    settings = Settings(seed=9, max_tokens=20)
    many = generator().answer([PROMPT], Settings(seed=9, max_tokens=20, n=3))[0]
    subject = generator()
    request = subject.submit(PROMPT, settings, first_index=2)
    assert "".join(piece.text for piece in drained(subject)[request, 2]) == many[2].text


@pytest.mark.parametrize("place", [0, 1, 7, 19, 20])
def test_a_broken_stream_goes_on_where_it_stopped(place):
    settings = Settings(
        seed=3, max_tokens=20, ignore_end=True, repetition_penalty=1.3, frequency_penalty=0.5, stop=("zzz",)
    )
    whole = list(generator().stream(PROMPT, settings))
    tokens = [token for piece in whole for token in piece.tokens]
    subject = generator()
    request = subject.submit(PROMPT, settings, resume=tokens[:place])
    rest = drained(subject)[request, 0]
    assert [token for piece in rest for token in piece.tokens] == tokens[place:]
    assert [piece.text for piece in rest if piece.tokens] == [piece.text for piece in whole][place:]
    assert rest[-1].finish == "length"
    assert rest[-1].usage.completion_tokens == 20


def test_a_stream_that_broke_within_a_stop_string_still_stops():
    answer = [*b"abEND", *b"x" * 50]
    subject = generator(script=(PROMPT, answer))
    request = subject.submit(PROMPT, Settings(temperature=0, stop=("END",)), resume=answer[:4])
    pieces = drained(subject)[request, 0]
    assert ("".join(piece.text for piece in pieces), pieces[-1].finish) == ("", "stop")


def test_a_stream_that_broke_past_the_window_goes_on_with_the_same_window():
    settings = Settings(seed=2, max_tokens=200, ignore_end=True)
    whole = alone(PROMPT, settings, window=64)[0]
    subject = generator(window=64)
    request = subject.submit(PROMPT, settings, resume=whole.tokens[:150])
    rest = drained(subject)[request, 0]
    assert tuple(token for piece in rest for token in piece.tokens) == whole.tokens[150:]
    assert rest[-1].usage.slid_tokens == whole.usage.slid_tokens


def test_past_the_window_the_later_half_is_read_again_and_told():
    subject = generator(window=64)
    found = subject.answer([PROMPT], Settings(max_tokens=300, ignore_end=True, seed=1))[0][0]
    assert (len(found.tokens), found.finish) == (300, "length")
    assert found.usage.slid_tokens == 288
    assert subject._decoder.prefilled[1:] == [32] * 9


def test_a_prompt_longer_than_the_window_keeps_its_end():
    subject = generator(window=64)
    found = subject.answer([PROMPT * 10], Settings(max_tokens=3, ignore_end=True))[0][0]
    assert found.usage.prompt_tokens == 340 and found.usage.slid_tokens == 288
    assert subject._decoder.held[0, :50].tolist() == (PROMPT * 10)[288:338]


def test_who_is_cancelled_frees_its_slot_at_the_next_step():
    subject = generator(slots=2)
    first = subject.submit(PROMPT, Settings(max_tokens=1000, ignore_end=True))
    second = subject.submit(PROMPT, Settings(max_tokens=3, ignore_end=True, seed=1))
    subject.step()
    subject.cancel(first)
    pieces = subject.step()
    assert [(piece.id, piece.finish) for piece in pieces] == [(first, "cancelled"), (second, None)]
    assert len(drained(subject)[second, 0]) == 2


def test_who_waits_or_is_being_read_can_be_cancelled_and_who_is_unknown_is_ignored():
    subject = generator(slots=3, prefill_tokens=8)
    requests = [subject.submit(PROMPT * 3, Settings(n=2, seed=1)) for _ in range(3)]
    subject.step()
    for request in [*requests, 99, -1]:
        subject.cancel(request)
        subject.cancel(request)
    assert sorted(piece.finish for piece in subject.step()) == ["cancelled"] * 6
    assert subject.is_idle and subject.state()["waiting"] == 0
    assert subject.answer([PROMPT], Settings(max_tokens=4, ignore_end=True))[0][0].finish == "length"


def test_a_long_prompt_does_not_stall_those_that_run():
    subject = generator(window=4096, prefill_tokens=32)
    first = subject.submit(PROMPT, Settings(max_tokens=1000, ignore_end=True))
    subject.step()
    subject.submit(prompts(1, longest=9, seed=1)[0] * 3000, Settings(max_tokens=5))
    before = len(subject._decoder.prefilled)
    for turn in range(20):
        assert [piece.id for piece in subject.step()] == [first], turn
    assert max(subject._decoder.prefilled[before:]) <= 32
    assert len(subject._decoder.prefilled) - before == 20


def test_a_few_words_need_not_wait_for_a_book_and_the_book_is_read_too():
    subject = generator(window=4096, prefill_tokens=32)
    subject.submit(PROMPT, Settings(max_tokens=4000, ignore_end=True))
    subject.step()
    book = subject.submit(list(range(256)) * 8, Settings(max_tokens=5, ignore_end=True))
    order = []
    for turn in range(400):
        if turn % 2 == 0:
            subject.submit([turn % 200, 1, 2, 3, 4, 5, 6, 7], Settings(max_tokens=2, ignore_end=True))
        order += [piece.id for piece in subject.step() if piece.finish]
    assert order[0] != book
    assert book in order


def test_clients_take_turns():
    subject = generator(slots=2)
    order = {}
    for number in range(30):
        order[subject.submit(PROMPT, Settings(max_tokens=2), client="greedy")] = f"greedy {number}"
    for client in ("modest", "shy"):
        for number in range(2):
            order[subject.submit(PROMPT, Settings(max_tokens=2), client=client)] = f"{client} {number}"
    ended = [order[request] for request, _ in drained(subject)]
    assert ended[:6] == ["greedy 0", "modest 0", "shy 0", "greedy 1", "modest 1", "shy 1"]
    assert ended[6:] == [f"greedy {number}" for number in range(2, 30)]


def test_who_would_not_fit_the_budget_waits():
    budget = 3 * 48 * 64  # three of 34 + 8 tokens, in pages of 16
    subject = generator(budget_bytes=budget)
    for _ in range(6):
        subject.submit(PROMPT, Settings(max_tokens=8, ignore_end=True))
    most = 0
    while not subject.is_idle:
        subject.step()
        assert subject.state()["kv_bytes_used"] <= budget
        most = max(most, subject.state()["running"])
    assert most == 3


def test_who_could_never_fit_is_refused_with_the_number():
    subject = generator(budget_bytes=10_000)
    with pytest.raises(HandrailError, match=r"16,384 bytes .* 10,000") as caught:
        subject.submit(PROMPT, Settings(max_tokens=1000))
    assert caught.value.code == "too_large"
    assert subject.is_idle


def test_what_is_kept_makes_way_for_who_waits():
    budget = 4 * 64 * 64
    subject = generator(budget_bytes=budget, keep=8)
    for prompt in prompts(40, longest=50, seed=8):
        subject.submit(prompt, Settings(max_tokens=14, ignore_end=True))
        subject.step()
        assert subject.state()["kv_bytes_used"] <= budget
    assert len(drained(subject)) > 0
    assert subject._decoder.forgotten


def test_a_shared_beginning_is_read_once():
    subject, system = generator(slots=20), list(range(200))
    for number in range(10):
        subject.submit([*system, *[number] * 10], Settings(max_tokens=5, ignore_end=True, seed=1))
    pieces = drained(subject)
    assert sum(subject._decoder.prefilled) == 209 + 9 * 9
    assert [some[-1].usage.cached_tokens for some in pieces.values()] == [0] + [200] * 9
    assert subject.state()["cached_tokens"] == 1800


def test_a_beginning_is_known_after_who_asked_it_has_ended():
    subject, system = generator(), list(range(200))
    subject.answer([[*system, 1, 2, 3]], Settings(max_tokens=5, ignore_end=True))
    found = subject.answer([[*system, 4, 5, 6]], Settings(max_tokens=5, ignore_end=True, seed=1))[0][0]
    assert found.usage.cached_tokens == 200


def test_a_chat_goes_on_where_its_last_answer_ended():
    subject = generator()
    first = subject.answer([PROMPT], Settings(max_tokens=50, ignore_end=True))[0][0]
    talk = [*PROMPT, *first.tokens, *b"And then?"]
    found = subject.answer([talk], Settings(max_tokens=5, ignore_end=True))[0][0]
    assert found.usage.cached_tokens == len(PROMPT) + 50 - 1


def test_with_a_seed_only_what_was_read_is_taken_over():
    # What was written token by token differs in its last bits from what is read at once.
    subject = generator()
    first = subject.answer([PROMPT], Settings(max_tokens=50, ignore_end=True))[0][0]
    talk = [*PROMPT, *first.tokens, *b"And then?"]
    found = subject.answer([talk], Settings(max_tokens=5, ignore_end=True, seed=1))[0][0]
    assert found.usage.cached_tokens == len(PROMPT) - 1


def test_an_empty_prompt_begins_as_texts_begin():
    found = generator().answer([[]], Settings(max_tokens=3, ignore_end=True))[0][0]
    assert found.usage.prompt_tokens == 1
    words = Words()
    words.ends = frozenset()
    with pytest.raises(HandrailError, match="empty"):
        Generator(HashDecoder(), words).submit([], Settings())


@pytest.mark.parametrize("bad", [[-1], [263], [2**40], [2**63]])
def test_tokens_of_another_vocabulary_are_refused(bad):
    with pytest.raises(HandrailError, match="outside"):
        generator().submit(bad, Settings())
    with pytest.raises(HandrailError, match="outside"):
        generator().submit(PROMPT, Settings(), resume=bad)


def test_millions_of_tokens_are_refused():
    with pytest.raises(HandrailError) as caught:
        generator().submit(range(2**20 + 1), Settings())
    assert caught.value.code == "too_large"


def test_no_more_wait_than_can_be_kept_waiting():
    subject = generator()
    with pytest.raises(HandrailError) as caught:
        for _ in range(100):
            subject.submit(PROMPT, Settings(n=64))
    assert caught.value.code == "overloaded"


def test_who_is_late_fails_alone():
    now = [0.0]
    subject = generator(slots=3, clock=lambda: now[0])
    late = subject.submit(PROMPT, Settings(max_tokens=100, ignore_end=True), timeout_s=5)
    waits = subject.submit(PROMPT, Settings(max_tokens=100, ignore_end=True))
    never = subject.submit(PROMPT, Settings(max_tokens=100, ignore_end=True), timeout_s=5)
    subject.step()
    now[0] = 6.0
    ended = [(piece.id, piece.problem.code) for piece in subject.step() if piece.finish]
    assert sorted(ended) == [(late, "timeout"), (never, "timeout")]
    assert drained(subject)[waits, 0][-1].finish == "length"


def test_one_whose_numbers_are_none_fails_alone():
    subject = generator()
    sick, well = (subject.submit(prompt, Settings(max_tokens=5, ignore_end=True)) for prompt in ([1, 2], PROMPT))
    honest = subject._decoder.logits
    subject._decoder.logits = lambda tokens: honest(tokens) * (np.nan if tokens[0] == 1 else 1)
    pieces = drained(subject)
    assert (pieces[sick, 0][-1].finish, pieces[sick, 0][-1].problem.code) == ("failed", "bundle")
    assert pieces[well, 0][-1].finish == "length"


def test_tokens_that_the_tokenizer_does_not_know_are_never_chosen():
    subject = generator(vocabulary=Words().size + 300, sharpness=0.0)
    found = subject.answer([PROMPT], Settings(max_tokens=200, ignore_end=True))[0][0]
    assert max(found.tokens) < Words().size


def test_streams_in_several_threads_share_the_batch():
    subject, texts = generator(), {}

    def ask(seed):
        stream = subject.stream(PROMPT, Settings(seed=seed, max_tokens=40, ignore_end=True))
        texts[seed] = "".join(piece.text for piece in stream)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settings = [Settings(seed=seed, max_tokens=40, ignore_end=True) for seed in range(6)]
    assert [texts[seed] for seed in range(6)] == [alone(PROMPT, each)[0].text for each in settings]


def test_a_turn_of_another_thread_loses_nothing_of_who_has_just_asked():
    subject, settings = generator(), Settings(seed=1, max_tokens=40, ignore_end=True)
    other, ask = subject.stream(PROMPT, settings), subject.submit

    def submit(*given):
        request = ask(*given)
        turn = threading.Thread(target=lambda: [next(other) for _ in range(5)])
        turn.start()
        turn.join(0.05)
        return request

    subject.submit = submit
    assert "".join(piece.text for piece in subject.stream(PROMPT, settings)) == alone(PROMPT, settings)[0].text


def test_where_one_prompt_is_refused_the_others_end():
    subject = generator()
    with pytest.raises(HandrailError) as raised:
        subject.answer([PROMPT, PROMPT, [-1]], Settings(ignore_end=True))
    subject.step()
    assert raised.value.code == "data" and subject.is_idle and not subject._inboxes


def test_times_and_rates_are_told():
    now = [100.0]

    def clock():
        now[0] += 0.25
        return now[0]

    subject = generator(clock=clock)
    found = subject.answer([PROMPT], Settings(max_tokens=4, ignore_end=True))[0][0]
    assert 0 < found.usage.first_token_s < found.usage.seconds
    state = subject.state()
    assert state["generated_tokens"] == 4 and state["tokens_per_s"] > 0
    now[0] += 60
    assert subject.state()["tokens_per_s"] == 0


def test_five_hundred_in_a_row_leave_nothing_behind():
    subject = generator(keep=3)
    for number in range(500):
        subject.answer([[number % 256, *PROMPT]], Settings(max_tokens=3, ignore_end=True))
    assert not subject._live and not subject._inboxes and not len(subject._waiting) and not len(subject._reading)
    assert len(subject._recent) <= 1500 + 1
    assert sum(bool(len(slot.kept)) for slot in subject._slots._slots) <= 3


@pytest.mark.parametrize("seed", range(25))
def test_whatever_comes_and_goes_each_is_told_what_it_would_be_told_alone(seed):
    draw = np.random.default_rng(seed)
    slots, window = int(draw.integers(1, 8)), int(draw.integers(8, 64))
    budget = int(draw.integers(1, slots + 1)) * -(-window // 16) * 16 * 64
    subject = generator(
        slots=slots, window=window, budget_bytes=budget, keep=int(draw.integers(0, 4)),
        prefill_tokens=int(draw.integers(1, 40)),
    )  # fmt: skip
    beginning = draw.integers(0, 256, 30).tolist()
    asked, pieces, cancelled = {}, defaultdict(list), set()
    for _ in range(120):
        if draw.random() < 0.3:
            prompt = beginning[: int(draw.integers(0, 30))] + draw.integers(0, 3, int(draw.integers(1, 40))).tolist()
            settings = Settings(
                max_tokens=int(draw.integers(1, 40)), n=int(draw.integers(1, 3)), seed=int(draw.integers(9)),
                ignore_end=bool(draw.integers(2)),
            )  # fmt: skip
            asked[subject.submit(prompt, settings, client=str(draw.integers(3)))] = prompt, settings
        if asked and draw.random() < 0.1:
            cancelled.add(request := int(draw.choice(list(asked))))
            subject.cancel(request)
        for piece in subject.step():
            pieces[piece.id, piece.index].append(piece)
        assert subject.state()["kv_bytes_used"] <= budget
    for key, some in drained(subject).items():
        pieces[key] += some
    for request, (prompt, settings) in asked.items():
        lone = alone(prompt, settings, window=window)
        for index in range(settings.n):
            tokens = tuple(token for piece in pieces[request, index] for token in piece.tokens)
            assert lone[index].tokens[: len(tokens)] == tokens
            assert pieces[request, index][-1].finish == lone[index].finish or request in cancelled
