"""Two small models of text: functions from a text to a list with one result, as the pipelines of libraries are."""

import math
import re
from collections import Counter
from pathlib import Path

NOT = {"not", "no", "never", "hardly", "without", "isn't", "wasn't", "don't", "didn't"}


def words_in(name):
    return set(Path(name).read_text().split())


def sentiment():
    weights = {**dict.fromkeys(words_in("good.txt"), 1.5), **dict.fromkeys(words_in("bad.txt"), -1.5)}

    def analyze(text):
        words = re.findall(r"[a-z']+", text.lower())
        score = 0.0
        for place, word in enumerate(words):
            turned = NOT & set(words[max(0, place - 3) : place])
            score += weights.get(word, 0.0) * (-1 if turned else 1)
        probability = 1 / (1 + math.exp(-score))
        label = "POSITIVE" if probability >= 0.5 else "NEGATIVE"
        return [{"label": label, "score": max(probability, 1 - probability)}]

    return analyze


def summarizer(share=0.3):
    common = words_in("common.txt")

    def summarize(text):
        sentences = re.split(r"(?<=[.!?])\s+", text.strip())
        words = [[word for word in re.findall(r"[a-z']+", one.lower()) if word not in common] for one in sentences]
        counts = Counter(word for found in words for word in set(found))
        weights = [sum(counts[word] for word in found) / (len(found) + 3) for found in words]
        wanted = max(1, round(share * len(sentences)))
        best = sorted(range(len(sentences)), key=lambda place: -weights[place])[:wanted]
        return [{"summary_text": " ".join(sentences[place] for place in sorted(best))}]

    return summarize
