"""What a rule reads is written down: rules at work are watched, on every model and target of the other tables of rules."""

import dataclasses
import re
from collections import defaultdict
from pathlib import Path

import pytest

from promote.core.facts import HostFacts
from promote.core.kernels import KernelTable
from promote.core.matrix import Tables
from promote.core.placement import CudaTable
from promote.core.rules.case import Case
from promote.core.rules.engine import RULES
from promote.core.rules.readers import OF_HOST, READERS
from promote.wiring import shipped
from tests.contract.test_config_rules import CPU, ENSEMBLES, PAIRS, WIRING
from tests.parts.config_cases import STEPS
from tests.unit.test_matrix import MATRIX
from tests.unit.test_rules import TABLE, on

IDS = {rule.id for rule in RULES}
FULL = dataclasses.replace(
    MATRIX,
    kernels=KernelTable(shipped("operator_kernels.json.gz").read_bytes()),
    cuda=CudaTable(shipped("cuda_kernels.json.gz").read_bytes()),
)


class Watched:
    """Tells which attributes of another are read."""

    def __init__(self, other, seen):
        self.__dict__.update(other=other, seen=seen)

    def __getattr__(self, name):
        self.seen(name)
        return getattr(self.other, name)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Table and host fact -> ids of the rules that read it."""
    tables, facts = defaultdict(set), defaultdict(set)

    def judge(model, target, **more):
        completed = FULL.complete(target)
        for rule in RULES:
            matrix = dataclasses.replace(FULL, tables=Watched(FULL.tables, lambda n, id=rule.id: tables[n].add(id)))
            host = Watched(completed.host, lambda n, id=rule.id: facts[n].add(id))
            rule(Case(model, dataclasses.replace(completed, host=host), matrix, **more))

    for _, subject, target, _ in TABLE:
        judge(subject, target)
    root = tmp_path_factory.mktemp("pairs")
    for place, pair in enumerate((PAIRS | ENSEMBLES).values()):
        folder = root / str(place)
        folder.mkdir()
        written = {
            name: made.write(folder, name) for name, made in (STEPS | {"bad": pair.refused, "good": pair.loads}).items()
        }
        for subject in WIRING.model_subjects([str(path) for path in written.values()])[0]:
            for target in (CPU, on()):
                more = {name: getattr(subject, name) for name in ("config", "version", "name", "folder", "neighbours")}
                judge(subject.facts, target, **more)
            subject.settle(subject.judge(CPU, FULL).word)
    return tables, facts


def test_every_table_that_a_rule_reads_is_said(read):
    for table, rules in read[0].items():
        assert rules <= READERS.get(table, set()), table


def test_every_host_fact_that_a_rule_reads_is_said(read):
    facts = {field.name for field in dataclasses.fields(HostFacts)}
    for fact in read[1].keys() & facts:
        assert read[1][fact] <= OF_HOST.get(fact, set()), fact
    assert OF_HOST.keys() == facts


def test_nothing_is_said_of_a_rule_or_table_that_is_not_there(read):
    assert {rule for rules in (*READERS.values(), *OF_HOST.values()) for rule in rules} <= IDS
    assert READERS.keys() <= Tables.model_fields.keys()
    # What a target is completed with is read before the rules run.
    assert {(t, r) for t, rules in READERS.items() for r in rules - read[0][t]} == {("gpus", "compute-capability")}


def test_the_page_of_the_matrix_says_the_same():
    page = (Path(__file__).resolve().parents[2] / "docs/reference/matrix.md").read_text()
    for line in re.findall(r"^\| `[a-z_]+` \|.*\|$", page, re.M):
        cells = line.strip("|").split("|")
        table = cells[0].strip(" `")
        if len(cells) != 4 or table not in READERS:
            continue
        named = set(re.findall(r"`([a-z*-]+)`", cells[3]))
        wild = {rule for rule in IDS for name in named if "*" in name and rule.startswith(name.rstrip("*"))}
        assert READERS[table] <= named | wild, table
        assert {name for name in named if "*" not in name} <= READERS[table], table
