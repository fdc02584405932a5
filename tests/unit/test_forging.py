"""``promote build-engine``: from a bundle to a plan that was built, judged and asked by the stand-in; or not kept at all."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from promote.adapters.engine.forge import Forge
from promote.adapters.engine.running import Limits
from promote.adapters.engine.workshop import workshop
from promote.adapters.oci.registry import open_registry
from promote.adapters.probe.records import keep
from promote.cli.build_engine import _place
from promote.cli.main import run
from promote.cli.progress import Silent
from promote.core.engine_place import Place
from promote.core.engine_recipe import Lengths
from promote.core.engine_record import Build
from promote.core.facts import Fact, HostFacts
from promote.core.layout import content
from promote.core.parity import DEFAULT_TOLERANCES, ParityFailed
from promote.core.passport import sha256
from promote.core.probe_record import Probe
from promote.core.stages import Stored
from promote.core.verdict import Incompatible, Undecided
from promote.errors import ExportError, InputError, NotFound, Unavailable
from promote.pipeline import Wish, build_engine
from promote.wiring import open_wiring
from tests.fakes.registry import Steps, make_bundle
from tests.fakes.world import in_memory
from tests.parts.trtexec import install, set_up
from tests.unit.test_variant_story import GPU

THIS = {"tensorrt": "10.16.1.11", "cc": "8.9", "gpu": "NVIDIA GeForce RTX 4090"}  # as Triton 26.05 on GPU is


@pytest.fixture
def tools(tmp_path):
    install(tmp_path / "tools", **THIS)
    return tmp_path / "tools"


@pytest.fixture
def bench():
    return in_memory()


@contextmanager
def opened(tools, tmp_path):
    place = Place(program=str(tools / "trtexec"))
    with workshop(place, tmp_path / "forge", Limits(seconds=60), lambda _: None) as shop:
        yield Forge(shop, tmp_path / "timings")


def built(tools, tmp_path, bench, found, target=GPU, **more):
    wish = Wish(tolerances=DEFAULT_TOLERANCES, out=str(tmp_path / "out"), by="ada@desk", **more)
    with opened(tools, tmp_path) as forge:
        return build_engine(wish, found, target, forge, str(tmp_path / "bundle"), bench)


def test_what_is_kept_was_built_here_loads_there_and_answers_as_recorded(tools, tmp_path, bench):
    stored = bench.promote(target=GPU).release.stored
    build = built(tools, tmp_path, bench, stored)
    assert isinstance(build, Build)
    assert "Engine built in 1.25 sec." in bench.progress.told
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["build.json", "model.plan", "trtexec.log"]
    record = json.loads((out / "build.json").read_bytes())
    assert record["plan"]["digest"] == sha256((out / "model.plan").read_bytes()) == build.built.digest
    assert record["source"] == {"bundle": stored.reference, "model": stored.files["times/1/model.onnx"].digest}
    assert record["binding"]["compute_capability"] == "8.9"
    assert record["builder"]["tensorrt"] == "10.16.1.11"
    assert "--noTF32" in record["builder"]["words"]
    assert "--maxShapes=x:8x4" in record["builder"]["words"]
    assert record["parity"]["cases"] == ["minimum", "typical"]
    assert record["by"] == "ada@desk"
    assert record["verdict"]["target"] == "box"


def test_the_same_build_again_uses_its_timings_and_refuses_to_write_over_the_first(tools, tmp_path, bench):
    stored = bench.promote(target=GPU).release.stored
    built(tools, tmp_path, bench, stored)
    (tmp_path / "forge").rename(tmp_path / "first")
    with pytest.raises(InputError, match="is there already"):
        built(tools, tmp_path, bench, stored)
    (tmp_path / "forge").rename(tmp_path / "second")
    (tmp_path / "out").rename(tmp_path / "old")
    assert built(tools, tmp_path, bench, stored).built.cached


def test_fp16_is_held_to_its_own_tolerance_by_flag_of_the_portable_model(tools, tmp_path, bench):
    index = bench.promote(target=GPU, variants=("fp16",)).release.stored
    build = built(tools, tmp_path, bench, index, precision="fp16")
    assert isinstance(build, Build)
    assert "--fp16" in build.built.words
    assert build.source.endswith(index.named("").digest)
    assert build.parity.tolerance == DEFAULT_TOLERANCES["fp16"]


def test_tensorrt_11_takes_the_precision_from_the_model_and_needs_that_variant(tools, tmp_path, bench):
    set_up(tools, **THIS | {"tensorrt": "11.4.0.106"})
    newer = replace(GPU, host=replace(GPU.host, tensorrt=Fact("11.4.0.106", "test", measured=True)))
    alone = bench.promote(target=GPU).release.stored
    with pytest.raises(InputError, match="takes the precision from the model") as refused:
        built(tools, tmp_path, bench, alone, newer, precision="fp16")
    assert "--variant fp16" in refused.value.hint


@pytest.mark.parametrize(
    ("settings", "kind", "rule"),
    [({"tensorrt": "10.6.0.26"}, Incompatible, "plan-version"), ({"cc": "9.0"}, Incompatible, "plan-gpu")],
)
def test_a_plan_that_would_not_load_there_is_not_kept(tools, tmp_path, bench, settings, kind, rule):
    stored = bench.promote(target=GPU).release.stored
    set_up(tools, **THIS | settings)
    outcome = built(tools, tmp_path, bench, stored)
    assert isinstance(outcome, kind)
    assert rule in {f.rule for f in outcome.findings if f.outcome.value == "broken"}
    assert not (tmp_path / "out").exists()
    # The version is known before the build, the GPU by the build alone.
    assert (tmp_path / "forge/out/model.plan").exists() is (rule == "plan-gpu")


def test_a_target_of_which_too_little_is_known_is_undecided(tools, tmp_path, bench):
    stored = bench.promote(target=GPU).release.stored
    bare = replace(GPU, host=replace(GPU.host, triton=None, tensorrt=None))
    assert isinstance(built(tools, tmp_path, bench, stored, bare), Undecided)


def test_answers_that_are_off_are_told_and_nothing_is_kept(tools, tmp_path, bench):
    stored = bench.promote(target=GPU).release.stored
    set_up(tools, **THIS | {"fail": "drift"})
    outcome = built(tools, tmp_path, bench, stored)
    assert isinstance(outcome, ParityFailed)
    assert not (tmp_path / "out").exists()


def test_a_recorded_sample_that_the_plan_would_not_take_is_refused_before_the_build(tools, tmp_path, bench):
    stored = bench.promote(target=GPU).release.stored
    with pytest.raises(InputError, match=r"golden sample typical has x of \(2, 4\)"):
        built(tools, tmp_path, bench, stored, lengths={"batch": Lengths(1, 1, 1)})
    assert not list((tmp_path / "forge/out").iterdir())


@pytest.mark.parametrize(("fail", "error"), [("gpu", Unavailable), ("operator", ExportError)])
def test_a_build_that_fails_keeps_nothing(tools, tmp_path, bench, fail, error):
    stored = bench.promote(target=GPU).release.stored
    set_up(tools, **THIS | {"fail": fail})
    with pytest.raises(error, match="no plan was built"):
        built(tools, tmp_path, bench, stored)
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_samples_or_a_passport_is_no_source(tools, tmp_path, bench):
    made = make_bundle({"model.onnx": b"x", "labels.txt": b"a"})
    bare = replace(made, files={p: b for p, b in made.files.items() if "golden" not in p})
    stored = bench.registry.push(bare, Steps()).stored
    assert isinstance(stored, Stored)
    with pytest.raises(NotFound, match=r"has no promote/golden.safetensors"):
        built(tools, tmp_path, bench, stored)


# As it is typed.


@pytest.fixture
def typed(tools, tmp_path, bench, monkeypatch, capsys):
    """A layout with a promoted bundle, and settings of a target like GPU; returns what a command line prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMOTE_CONFIG", raising=False)
    bundle = bench.promote(target=GPU).release.bundle
    open_registry(f"oci:{tmp_path}/bundles", env={}).push(bundle, Steps())
    Path("promote.toml").write_text(
        f'work_dir = "work"\n[registry]\nurl = "oci:{tmp_path}/bundles"\n[targets.box]\ndevice = "gpu"\narch = "x86_64"\n'
        'triton = "26.05"\ndriver = "580.95.05"\ngpu = "RTX 4090"\nmemory_gib = 16\n'
    )

    def type_it(*words):
        capsys.readouterr()
        code = run(
            [
                "build-engine",
                "times:v1",
                "--target",
                "box",
                "--out",
                "plans",
                "--trtexec",
                str(tools / "trtexec"),
                *words,
            ]
        )
        return code, *capsys.readouterr()

    return type_it


def test_the_last_line_is_the_digest_of_the_plan_and_json_tells_the_rest(typed):
    code, out, err = typed()
    assert code == 0, err
    assert out.strip() == sha256(Path("plans/model.plan").read_bytes())
    assert "by TensorRT 10.16.1.11 on NVIDIA GeForce RTX 4090" in err
    Path("plans").rename("first")
    code, out, _ = typed("--json", "--precision", "fp16", "--axis", "batch=1:4:8")
    told = json.loads(out)
    assert (code, told["precision"], told["binding"]["tensorrt"]) == (0, "fp16", "10.16.1.11")
    assert "--optShapes=x:4x4" in json.loads(Path("plans/build.json").read_bytes())["builder"]["words"]


@pytest.mark.parametrize(
    ("settings", "words", "code", "says"),
    [
        ({"fail": "gpu"}, (), 5, "no GPU was found"),
        ({"fail": "operator"}, (), 7, "operator Fancy"),
        ({"cc": "9.0"}, (), 10, "plan-gpu"),
        ({"fail": "drift"}, (), 12, "parity failed"),
        ({"fail": "hang"}, ("--seconds", "2"), 5, "longer than allowed"),
        ({}, ("--axis", "batch=8:1"), 2, "expected NAME=SHORTEST:USUAL:LONGEST"),
        ({}, ("--in", "docker"), 2, "needs an image"),
        ({}, ("--trtexec", "/nowhere/trtexec"), 5, "there is no trtexec"),
    ],
)
def test_each_refusal_has_its_exit_code_and_leaves_nothing_but_a_log(typed, tools, settings, words, code, says):
    set_up(tools, **THIS | settings)
    got, out, err = typed(*words)
    assert got == code, err
    assert says in err
    assert out == ""
    assert not Path("plans").exists()
    if code in (5, 7):
        assert "trtexec" in Path("work/build-engine.log").read_text()


def test_a_model_whose_sequence_has_no_longest_says_which_axis_to_name(bench, tools, tmp_path):
    stored = bench.promote(target=GPU).release.stored
    passport = json.loads(bench.registry.read(stored, stored.files["times/1/promote/passport.json"]))
    passport["facts"]["inputs"]["value"][0]["shape"] = ["batch", "width"]
    made = make_bundle(
        {"model.onnx": bench.registry.read(stored, stored.files["times/1/model.onnx"])}, name="times",
        passport=json.dumps(passport).encode(),
    )  # fmt: skip
    golden = bench.registry.read(stored, stored.files["times/1/promote/golden.safetensors"])
    files = dict(made.files) | {"times/1/promote/golden.safetensors": content(golden)}
    other = in_memory()
    pushed = other.registry.push(replace(made, files=files), Steps()).stored
    with pytest.raises(InputError, match="axis 'width' of which no longest is known") as refused:
        built(tools, tmp_path, other, pushed)
    assert "--axis width=" in refused.value.hint


@pytest.mark.parametrize(
    ("way", "image", "ssh", "comes_to"),
    [
        ("installed", "", "", ("", "ops@calypso", "trtexec")),
        ("docker", "", "", ("triton:26.05", "ops@calypso", "/usr/src/tensorrt/bin/trtexec")),
        ("docker", "other:1", "me@box", ("other:1", "me@box", "/usr/src/tensorrt/bin/trtexec")),
    ],
)
def test_where_to_build_is_as_the_target_was_last_probed_unless_it_is_said(
    tmp_path, monkeypatch, way, image, ssh, comes_to
):
    (tmp_path / "promote.toml").write_text('work_dir = "work"\n')
    monkeypatch.chdir(tmp_path)
    facts = HostFacts(gpu=Fact("RTX 4090", "nvidia-smi on calypso", measured=True))
    probe = Probe(target="calypso", date="2026-11-24", facts=facts, image="triton:26.05", ssh="ops@calypso", sources=())
    wiring = open_wiring("promote.toml", Silent())
    keep(wiring.work_root(), probe)
    place = _place(wiring, "calypso", Place(ssh=ssh), way, image, "")
    assert (place.image, place.ssh, place.program) == comes_to
    assert _place(wiring, "proteus", Place(), "installed", "", "").ssh == ""
