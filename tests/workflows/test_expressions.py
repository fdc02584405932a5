"""The evaluator says what GitHub says, and refuses what it does not know."""

import pytest

from tests.workflows.expressions import Unknown, fill, holds, value_of

CONTEXT = {
    "inputs": {"name": "ner", "empty": "", "told": "${{ inputs.name }}"},
    "needs": {"push": {"result": "success", "outputs": {"state": "pending"}}},
    "success": lambda: False,
    "cancelled": lambda: False,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.name", "ner"),
        ("inputs.nothing.below", None),
        ("inputs.empty || inputs.name", "ner"),
        ("inputs.name && 'x'", "x"),
        ("inputs.empty && 'x'", ""),
        ("needs.push.outputs.state == 'PENDING'", True),
        ("inputs.nothing != ''", False),
        ("!cancelled() && (inputs.empty || needs.push.result == 'success')", True),
        ("'it''s'", "it's"),
    ],
)
def test_values(text, value):
    assert value_of(text, CONTEXT) == value


@pytest.mark.parametrize(
    "text",
    [
        "format('{0}', inputs.name)",
        "secrets.X",
        "inputs[0]",
        "1 < 2",
        "inputs.name inputs",
        "success",
        "inputs.name ||",
        "inputs == ''",
    ],
)
def test_what_is_not_known_is_refused(text):
    with pytest.raises(Unknown):
        fill("${{ " + text + " }}", CONTEXT) if text != "success" else value_of("success(1)", CONTEXT)


def test_a_value_is_not_evaluated_again():
    assert fill("a ${{ inputs.told }} b", CONTEXT) == "a ${{ inputs.name }} b"


def test_a_condition_that_asks_for_no_status_needs_success():
    assert not holds("${{ inputs.name == 'ner' }}", CONTEXT)
    assert holds("${{ !cancelled() && inputs.name == 'ner' }}", CONTEXT)
    assert holds("inputs.name == 'ner'", CONTEXT | {"success": lambda: True})
