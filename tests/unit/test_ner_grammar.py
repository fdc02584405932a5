"""The example's corpus and score: seeded, labelled in valid BIO, no held-out name ever trained on; F1 as counted by hand."""

import re

import pytest

from examples.ner_baseline import grammar
from examples.ner_baseline.grammar import CLASSES, LABELS, NAMED, digest, generate, imo_check_digit
from examples.ner_baseline.names import BY_CLASS, PEOPLE
from examples.ner_baseline.scoring import Score, score, spans
from examples.ner_baseline.tokenization import IGNORED, align, train_tokenizer

SEEDS = (7, 8, 9)


@pytest.fixture(scope="module")
def train():
    return generate("train", 3000, 7)


@pytest.fixture(scope="module")
def held_out():
    return [sentence for seed in SEEDS for sentence in generate("held_out", 400, seed)]


def entities(sentences):
    """(class, text) of every entity."""
    return {
        (kind, " ".join(sentence.words[begin:end]))
        for sentence in sentences
        for kind, begin, end in spans(sentence.labels)
    }


def words(names):
    return {word.lower() for name in names for word in name.split()}


def test_the_same_seed_gives_the_same_corpus_and_digest():
    first, again, other = (generate("train", 300, seed) for seed in (7, 7, 8))
    assert first == again
    assert digest(train=first) == digest(train=again)
    assert digest(train=first) != digest(train=other)


def test_the_digest_names_this_corpus_on_every_machine():
    content = digest(train=generate("train", 50, 7), validation=generate("held_out", 20, 8))
    assert content == "sha256:5444cb59fe265f781e41b83e1206ae7d3afb58c9002e08e6bf1972339ea07a6d"


def test_the_digest_tells_splits_words_and_labels_apart():
    one, two = generate("train", 2, 7)
    assert digest(a=[one], b=[two]) != digest(a=[one, two])
    assert digest(a=[one]) != digest(b=[one])
    relabelled = grammar.Sentence(one.words, ("O",) * len(one.words))
    assert digest(a=[one]) != digest(a=[relabelled])


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_labels_are_valid_bio_one_a_word(request, split):
    for sentence in request.getfixturevalue(split):
        assert len(sentence.words) == len(sentence.labels)
        assert set(sentence.labels) <= set(LABELS)
        assert all(word and not re.search(r"\s|[{}<>]", word) for word in sentence.words)
        for before, label in zip(("O", *sentence.labels), sentence.labels, strict=False):
            if label.startswith("I-"):
                assert before in (f"B-{label[2:]}", label), sentence


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_class_occurs(request, split):
    assert {kind for kind, _ in entities(request.getfixturevalue(split))} == set(CLASSES)


@pytest.mark.parametrize("names", [*BY_CLASS.values(), PEOPLE], ids=[*BY_CLASS, "PEOPLE"])
def test_no_word_of_a_held_out_name_is_in_the_training_names_of_its_class(names):
    assert words(names.held_out) & words(names.train) == set()


def test_no_held_out_name_is_an_entity_of_the_training_split(train, held_out):
    hidden = {name.lower() for names in BY_CLASS.values() for name in names.held_out}
    assert hidden & {text.lower() for _, text in entities(train)} == set()
    assert entities(train).isdisjoint({e for e in entities(held_out) if e[0] in (*NAMED, "IMO")})


def test_no_word_of_a_held_out_name_is_in_a_training_entity(train):
    hidden = {word for names in BY_CLASS.values() for word in words(names.held_out)}
    seen = words(text for kind, text in entities(train) if kind in NAMED)
    assert hidden & seen == set()


def test_a_name_made_up_like_a_held_out_one_is_made_up_again():
    made = iter([["ma", "r", "l", "in"], ["sierra"], ["sal", "mo"]])

    class Scripted:
        def choices(self, population, k):
            return next(made)

        def choice(self, options):
            return options[0]

        def randint(self, low, high):
            return low

    assert grammar._invented("SPECIES", Scripted()) == "salmo"


def test_every_held_out_name_can_occur_and_only_those(held_out):
    for kind in NAMED:
        assert {text for k, text in entities(held_out) if k == kind} <= set(BY_CLASS[kind].held_out)


def test_most_training_names_are_made_up(train):
    named = [text for kind, text in entities(train) if kind in NAMED]
    known = {name for names in BY_CLASS.values() for name in names.train}
    assert sum(text not in known for text in named) > len(named) / 2


@pytest.mark.parametrize("number", ["9074729", "9319466", "8814275"])
def test_the_check_digit_is_that_of_known_imo_numbers(number):
    assert imo_check_digit(number[:6]) == int(number[6])


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_imo_number_has_a_valid_check_digit(request, split):
    numbers = [text for kind, text in entities(request.getfixturevalue(split)) if kind == "IMO"]
    assert len(numbers) > 100
    for number in numbers:
        assert re.fullmatch(r"[0-9]{7}", number)
        total = sum(int(digit) * weight for digit, weight in zip(number[:6], (7, 6, 5, 4, 3, 2), strict=True))
        assert total % 10 == int(number[6])


def test_an_entity_is_from_its_b_to_the_last_i_of_its_class():
    assert spans(["B-PORT", "I-PORT", "O", "B-FLAG"]) == {("PORT", 0, 2), ("FLAG", 3, 4)}
    assert spans(["B-PORT", "B-PORT"]) == {("PORT", 0, 1), ("PORT", 1, 2)}
    assert spans(["B-PORT", "I-FLAG"]) == {("PORT", 0, 1)}
    assert spans(["I-PORT", "O", "I-PORT"]) == set()
    assert spans([]) == set()


@pytest.mark.parametrize(
    ("expected", "predicted", "counts"),
    [
        ("B-PORT I-PORT O", "B-PORT I-PORT O", (1, 1, 1)),
        ("B-PORT I-PORT O", "B-PORT O O", (0, 1, 1)),  # one end wrong: no half points
        ("B-PORT I-PORT O", "B-FLAG I-FLAG O", (0, 1, 1)),  # the class wrong
        ("B-PORT I-PORT O", "I-PORT I-PORT O", (0, 0, 1)),  # strict: it never began
        ("O O O", "B-PORT O O", (0, 1, 0)),
        ("B-PORT B-PORT O", "B-PORT I-PORT O", (0, 1, 2)),  # two harbours taken for one
        ("O O O", "O O O", (0, 0, 0)),
    ],
)
def test_entities_are_counted_strictly(expected, predicted, counts):
    overall, _ = score([expected.split()], [predicted.split()])
    assert (overall.right, overall.predicted, overall.expected) == counts


def test_precision_recall_and_f1_by_hand():
    overall, by_class = score(
        [["B-PORT", "O", "B-FLAG", "I-FLAG"], ["B-PORT", "O"]],
        [["B-PORT", "B-GEAR", "B-FLAG", "O"], ["O", "O"]],
    )
    assert overall == Score(right=1, predicted=3, expected=3)
    assert overall.precision == pytest.approx(1 / 3)
    assert overall.recall == pytest.approx(1 / 3)
    assert overall.f1 == pytest.approx(1 / 3)
    assert by_class == {"FLAG": Score(0, 1, 1), "GEAR": Score(0, 1, 0), "PORT": Score(1, 1, 2)}
    assert by_class["PORT"].f1 == pytest.approx(2 / 3)
    assert (by_class["GEAR"].recall, by_class["GEAR"].f1) == (0.0, 0.0)


def test_a_sentence_labelled_short_is_no_score():
    with pytest.raises(ValueError, match="1 labels for a sentence of 2 words"):
        score([["O", "O"]], [["O"]])


def test_only_the_first_piece_of_a_word_carries_its_label():
    assert align([None, 0, 0, 1, None], [3, 4]) == [IGNORED, 3, IGNORED, 4, IGNORED]


def test_the_tokenizer_knows_every_letter_of_its_corpus_and_is_the_same_each_time(train):
    pytest.importorskip("transformers")
    some = train[:200]
    first, again = train_tokenizer(some), train_tokenizer(some)
    assert first.get_vocab() == again.get_vocab()
    assert len(first) <= 700
    encoded = first([list(s.words) for s in some], is_split_into_words=True)
    assert not any(first.unk_token_id in ids for ids in encoded["input_ids"])
    for index, sentence in enumerate(some):
        assert set(encoded.word_ids(index)) - {None} == set(range(len(sentence.words)))
