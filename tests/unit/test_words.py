"""Which tokens spell which words of a text, from what each token stands for."""

from __future__ import annotations

import pytest

from ledits.words import match_words, split_words

RED, CAR = "\u7ea2\u8272", "\u6c7d\u8f66"
"""In Chinese, each of two letters."""


def pieces(*texts):
    """One token for each; None for text that the vocabulary lacks."""
    return [(frozenset([index]), text if text is None or isinstance(text, bytes) else text.encode()) for index, text in enumerate(texts)]


def words(text, *encoders):
    return [(word, tuple(sorted(tokens))) for word, tokens in match_words(text, encoders)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a red car, 2023!", ["a", "red", "car", ",", "2023", "!"]),
        (" don't  a-b ... ", ["don", "'", "t", "a", "-", "b", "..."]),
        ("cafe\u0301 \u0932\u093e\u0932", ["cafe\u0301", "\u0932\u093e\u0932"]),
        (f"{RED}car{CAR}", [*RED, "car", *CAR]),
        ("\u0e2a\u0e27\u0e31\u0e2a", ["\u0e2a", "\u0e27\u0e31", "\u0e2a"]),
        ("\U0001f469\u200d\U0001f680\U0001f431", ["\U0001f469\u200d", "\U0001f680", "\U0001f431"]),
        ("", []),
    ],
)
def test_words_of_any_script(text, parts):
    assert [text[begin:end] for begin, end in split_words(text)] == parts


def test_a_word_has_all_its_tokens():
    found = words("a red circle, and sunglasses", pieces(" a", " red", " cir", "cle", ",", " and", " sun", "glasses"))
    assert found == [("a", (0,)), ("red", (1,)), ("circle", (2, 3)), (",", (4,)), ("and", (5,)), ("sunglasses", (6, 7))]


def test_punctuation_gives_way_to_words():
    assert words("a t-shirt.", pieces("a", " t", "-shirt", ".")) == [("a", (0,)), ("t", (1,)), ("shirt", (2,)), (".", (3,))]


def test_words_that_share_a_token_are_one():
    assert words(f"a {RED}{CAR}", pieces("a ", RED + CAR[0], CAR[1])) == [("a", (0,)), (RED + CAR[0], (1,)), (CAR[1], (2,))]


def test_tokens_that_split_a_letter():
    data = RED.encode()
    assert words(RED, pieces(data[:2], data[2:4], data[4:])) == [(RED, (0, 1, 2))]
    assert words(f"caf\u00e9 {RED}", pieces("caf", b"\xc3", b"\xa9 ", data[:3], data[3:])) == [
        ("caf\u00e9", (0, 1, 2)),
        (RED[0], (3,)),
        (RED[1], (4,)),
    ]


@pytest.mark.parametrize("typed", ["Caf\u00e9 \u00dcber", "cafe\u0301 u\u0308ber"])
@pytest.mark.parametrize("read", ["caf\u00e9 \u00fcber", "cafe uber", "CAFE\u0301 U\u0308BER"])
def test_whatever_a_tokenizer_does_to_accents_and_case(typed, read):
    first, second = read.split()
    assert words(typed, pieces(first, second)) == [(typed.split()[0], (0,)), (typed.split()[1], (1,))]


def test_words_that_no_encoder_knows_are_left_out():
    assert words(f"a {RED} car", pieces(" a", " ", None, " car")) == [("a", (0,)), ("car", (3,))]
    assert words(RED, pieces(" ", None)) == []


def test_a_letter_that_the_vocabulary_lacks_belongs_to_its_word():
    assert words("na\u00efve ca\u00ef car", pieces(" na", None, "ve", " ca", None, " car")) == [
        ("na\u00efve", (0, 1, 2)),
        ("ca\u00ef", (3, 4)),
        ("car", (5,)),
    ]


def test_an_encoder_that_lacks_words_does_not_join_them():
    second = [(frozenset([10 + index]), spelled) for index, spelled in enumerate((b" ", None))]
    assert words(RED, pieces(*RED), second) == [(RED[0], (0,)), (RED[1], (1,))]


def test_the_tokens_of_several_encoders():
    second = [(frozenset([10]), b"a"), (frozenset([11]), b" red car")]
    assert words("a red car", pieces("a", "red", "car"), second) == [("a", (0, 10)), ("red car", (1, 2, 11))]


def test_only_the_begin_of_a_text_was_read():
    assert words("a red red red car", pieces("a", " red", " red")) == [("a", (0,)), ("red", (1,)), ("red", (2,))]


def test_several_tokens_that_stand_for_one_character():
    assert words("a \ue000 b", [(frozenset([0]), b"a"), (frozenset([1, 2, 3]), "\ue000".encode()), (frozenset([4]), b"b")]) == [
        ("a", (0,)),
        ("\ue000", (1, 2, 3)),
        ("b", (4,)),
    ]
