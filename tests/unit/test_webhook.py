"""A webhook's call: whose secret it was signed with, when, and whether it came before."""

import pytest

from promote.core.webhook import Call, key_of, refusal, signature

KEY = b"a key of tests, long enough"
NOW = 1_800_000_000.0


def call(**more):
    return Call(**({"id": "d-1", "timestamp": str(int(NOW)), "body": b'{"a": 1}'} | more))


def asked(one, given=None, *, key=KEY, now=NOW, seen=None):
    return refusal(one, signature(KEY, one) if given is None else given, key, now, {} if seen is None else seen)


def test_the_signature_is_the_one_that_the_convention_gives():
    # The example of https://github.com/standard-webhooks/standard-webhooks, in its libraries' own tests.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    told = Call("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature(key, told) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_genuine_call_is_taken_once():
    seen = {}
    assert asked(call(), seen=seen) == ""
    assert asked(call(), seen=seen) == "it came before"
    assert asked(call(id="d-2"), seen=seen) == ""


def test_one_of_several_signatures_will_do_as_where_a_secret_is_changed():
    assert asked(call(), f"v1,AAAA {signature(KEY, call())}") == ""


@pytest.mark.parametrize(
    "given", ["", "v1,", "v1,AAAA", "v2," + signature(KEY, call())[3:], "v1,\u00e4", signature(b"another", call())]
)
def test_another_signature_is_refused_and_not_remembered(given):
    seen = {}
    assert asked(call(), given, seen=seen) == "the signature is not that of our secret"
    assert seen == {}


@pytest.mark.parametrize("more", [{"body": b'{"a": 2}'}, {"id": "d-9"}, {"timestamp": str(int(NOW) + 1)}])
def test_every_part_is_signed(more):
    assert "signature" in asked(call(**more), signature(KEY, call()))


@pytest.mark.parametrize(("late", "why"), [(299, ""), (301, "older"), (-299, ""), (-301, "older")])
def test_five_minutes_are_the_most(late, why):
    assert why in asked(call(), now=NOW + late)
    assert bool(why) == bool(asked(call(), now=NOW + late))


@pytest.mark.parametrize("more", [{"id": ""}, {"id": "a b"}, {"id": "x" * 201}, {"timestamp": ""}, {"timestamp": "1e9"},
                                  {"timestamp": "\u0661"}])  # fmt: skip
def test_what_names_no_call_or_no_time_is_refused(more):
    assert asked(call(**more)) == "no id or no time"


def test_what_is_remembered_is_bounded_and_forgotten():
    seen = {str(number): NOW for number in range(10_000)}
    assert "too many" in asked(call(), seen=seen)
    later = call(timestamp=str(int(NOW) + 601))
    assert asked(later, now=NOW + 601, seen=seen) == ""
    assert list(seen) == ["d-1"]


def test_a_secret_is_its_bytes_or_base64_after_a_prefix():
    assert key_of("whsec_YWJj") == b"abc"
    assert key_of("abc") == b"abc"
    with pytest.raises(ValueError, match="base64"):
        key_of("whsec_!")
