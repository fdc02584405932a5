"""Generated samples: the ends of every axis, the same values everywhere."""

import numpy as np

from promote.adapters.export.samples import Axis, InputSpec, generate

SPECS = [
    InputSpec("input_ids", "int64", ("batch", "sequence"), high=100),
    InputSpec("attention_mask", "int64", ("batch", "sequence")),
    InputSpec("pixels", "float32", ("batch", 3)),
]
AXES = {"batch": Axis(1, 4, 8), "sequence": Axis(1, 32, 512)}


def test_each_axis_is_tried_at_its_ends_and_between():
    cases = generate(SPECS, AXES)
    assert {case: inputs["input_ids"].shape for case, inputs in cases.items()} == {
        "minimum": (1, 1),
        "typical": (4, 32),
        "maximum": (8, 512),
    }
    assert cases["typical"]["pixels"].shape == (4, 3)


def test_integers_stay_below_the_vocabulary_and_masks_hold_padding():
    inputs = generate(SPECS, AXES)["typical"]
    assert inputs["input_ids"].min() >= 0
    assert 50 < inputs["input_ids"].max() < 100
    assert set(np.unique(inputs["attention_mask"])) == {0, 1}
    assert inputs["attention_mask"][:, 0].all()


def test_the_same_model_gets_the_same_samples():
    first, second = generate(SPECS, AXES), generate(SPECS, AXES)
    for case in first:
        for name in first[case]:
            assert np.array_equal(first[case][name], second[case][name])


def test_a_model_without_dynamic_axes_gets_one_case():
    cases = generate([InputSpec("x", "float32", (1, 3))], {})
    assert list(cases) == ["typical"]
