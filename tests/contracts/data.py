"""Small tables, one for each task: what a third party gives for a task of its own."""

from __future__ import annotations

import random

Columns = dict[str, list[object]]


def reviews(rows: int = 240) -> Columns:
    """Text with a label: good and bad words among neutral ones."""
    draw = random.Random(0)
    good, bad = ["lovely", "great", "superb", "a joy"], ["awful", "dull", "a mess", "boring"]
    plain = ["film", "story", "the actors", "music", "an evening", "it was", "we saw", "last week"]
    texts, labels = [], []
    for number in range(rows):
        label = "good" if number % 2 else "bad"
        words = [*draw.sample(plain, 4), *draw.sample(good if label == "good" else bad, 2)]
        draw.shuffle(words)
        texts.append(" ".join(words) + f" {draw.randint(0, 999)}")
        labels.append(label)
    return {"text": texts, "label": labels}


def topics(rows: int = 240) -> Columns:
    """Text with one label of four, of which one head each is fitted."""
    draw = random.Random(4)
    words = {
        "food": ["bread", "cheese", "soup", "apple"],
        "sport": ["goal", "team", "match", "run"],
        "money": ["bank", "loan", "cash", "price"],
        "art": ["paint", "song", "stage", "poem"],
    }
    plain = ["there was", "we saw", "a little", "some of the", "last week", "not much"]
    texts, labels = [], []
    for number in range(rows):
        label = list(words)[number % 4]
        other = draw.choice(list(words))
        said = [*draw.sample(words[label], 2), *draw.sample(words[other], 1), *draw.sample(plain, 3)]
        draw.shuffle(said)
        texts.append(" ".join(said) + f" {draw.randint(0, 999)}")
        labels.append(label)
    return {"text": texts, "topic": labels}


def customers(rows: int = 300) -> Columns:
    """Numbers, a category, a boolean, a date, gaps; the label follows from some of them."""
    draw = random.Random(1)
    columns: Columns = {name: [] for name in ("age", "plan", "active", "since", "spend", "churned")}
    for _ in range(rows):
        age, plan, active = draw.randint(18, 80), draw.choice(["basic", "plus", "pro"]), draw.random() < 0.6
        spend = round(draw.gauss(50 + 20 * (plan == "pro"), 10), 2)
        risk = (age < 40) + (plan == "basic") + (not active) + draw.gauss(0, 0.5)
        columns["age"].append(None if draw.random() < 0.05 else age)
        columns["plan"].append(plan)
        columns["active"].append("yes" if active else "no")
        columns["since"].append(f"20{draw.randint(10, 23)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}")
        columns["spend"].append(spend)
        columns["churned"].append("yes" if risk > 1.5 else "no")
    return columns


def houses(rows: int = 300) -> Columns:
    """Numbers and a category; the price follows from them with noise."""
    draw = random.Random(2)
    columns: Columns = {name: [] for name in ("rooms", "area", "city", "price")}
    for _ in range(rows):
        rooms, area, city = draw.randint(1, 6), draw.uniform(20, 200), draw.choice(["Oslo", "Rome", "Bonn"])
        price = 50_000 + 2_000.5 * area + 10_000 * rooms + (60_000 if city == "Oslo" else 0) + draw.gauss(0, 9_000)
        for name, value in (("rooms", rooms), ("area", round(area, 1)), ("city", city), ("price", round(price, 2))):
            columns[name].append(value)
    return columns


EVERY_TASK = {
    "text-classification": (reviews, "label"),
    "tabular-classification": (customers, "churned"),
    "tabular-regression": (houses, "price"),
}
# What a task does otherwise when the data are of another kind: (task, make, target).
OTHER_CASES = (("text-classification", topics, "topic"),)
