"""The state of a page in its address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import InputError
from karat.explorer.query import Query

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BOUNDS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    columns = draw(st.lists(TEXTS, unique=True, max_size=3))
    bounds = [sorted([draw(BOUNDS), draw(BOUNDS)], key=lambda bound: (bound is not None, bound)) for _ in columns]
    return Query(
        sort=draw(TEXTS.filter(bool)),
        descending=draw(st.booleans()),
        ranges=tuple((name, *pair) for name, pair in zip(columns, bounds, strict=True)),
        label=draw(st.none() | TEXTS.filter(bool)),
        correct=draw(st.none() | st.booleans()),
        text=draw(TEXTS),
        tag=draw(st.none() | TEXTS.filter(bool)),
    )


@given(queries())
def test_a_query_survives_its_address(query: Query) -> None:
    assert Query.from_params(query.to_params()) == query


def test_the_query_of_an_empty_address_is_the_default_one() -> None:
    assert Query.from_params({"sort": "", "label": "", "min.q_score": "", "unknown": "x"}) == Query()
    assert Query().to_params() == {}


def test_ranges_in_any_order_are_the_same_query() -> None:
    one, two = ("a", 0.0, 1.0), ("b", None, 2.0)
    assert Query(ranges=(one, two)) == Query(ranges=(two, one))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"order": "down"}, "order is 'down', but asc or desc is needed"),
        ({"correct": "1"}, "correct is '1', but yes or no is needed"),
        ({"min.q_score": "low"}, "min.q_score is 'low', but a number is needed"),
        ({"max.q_score": "nan"}, "max.q_score is nan, but a finite number is needed"),
        ({"min.q_score": "-inf"}, "min.q_score is -inf, but a finite number"),
        ({"min.a": "2", "max.a": "1"}, "min.a is 2.0, but max.a is 1.0, which is less"),
        ({"text": "a" * 1001}, "text has 1001 characters, more than the 1000 allowed"),
        ({"label": "\ud800"}, "label is no text that can be searched for"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(params: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        Query.from_params(params)
