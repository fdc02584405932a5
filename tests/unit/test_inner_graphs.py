"""Functions of a model and graphs inside nodes: what ``promote check`` says of each is what ONNX Runtime does with it."""

import onnxruntime
import pytest
from onnx import TypeProto, helper

from promote.adapters.onnx_file import read_facts
from promote.core.matrix import bare_runtime
from promote.core.rules.engine import check
from promote.core.verdict import judge
from tests.unit.test_operators import MATRIX

FLOAT, INT32, INT64, BOOL, BF16 = 1, 6, 7, 9, 16
node = helper.make_node
ID = node("Identity", ["go"], ["on"])


def value(name, kind=FLOAT, shape=(2, 2)):
    return helper.make_tensor_value_info(name, kind, shape)


def bare(*names):
    """Inputs and outputs of inner graphs that say no type."""
    return [helper.make_value_info(name, TypeProto()) for name in names]


def function(nodes, inputs=("x",), outputs=("y",), opset=18, name="F"):
    return helper.make_function("my", name, inputs, outputs, nodes, [helper.make_opsetid("", opset)])


def calls(made, *more, opset=18, given=("X",), taken=("Y",), shape=(2, 2), out=(2, 2), around=()):
    """A model whose one node, after those ``around``, calls the function."""
    graph = helper.make_graph(
        [*around, node("F", given, taken, domain="my")], "g", [value("X", FLOAT, shape)], [value("Y", FLOAT, out)]
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=[made, *more], ir_version=8)


def whole(nodes, inputs, outputs, opset=18):
    held = [helper.make_tensor("M", INT64, [], [2]), helper.make_tensor("C", BOOL, [], [True])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def inner(nodes, inputs, outputs):
    return helper.make_graph(nodes, "b", bare(*inputs) if isinstance(inputs, tuple) else inputs, bare(*outputs))


def choice(then, *before):
    """A function with an If, of which one side is ``then``."""
    said = node("Constant", [], ["c"], value=helper.make_tensor("c", BOOL, [], [True]))
    sides = {
        "then_branch": inner([then], (), (then.output[0],)),
        "else_branch": inner([node("Neg", ["x"], ["e"])], (), ("e",)),
    }
    return function([said, *before, node("If", ["c"], ["y"], **sides)])


def loop(
    nodes,
    inputs=("i", "go", "s"),
    outputs=("on", "t"),
    given=("M", "C", "X"),
    taken=("Y",),
    kind=FLOAT,
    opset=18,
    out=None,
):
    made = node("Loop", given, taken, body=inner(nodes, inputs, outputs))
    return whole(
        [made], [value("X", kind)], [value("Y", out or kind), *(value(name, kind, None) for name in taken[1:])], opset
    )


def scan(nodes, outputs=("t", "o"), kind=FLOAT, taken=("Y", "Z"), out=None):
    made = node("Scan", ["S", "X"], taken, num_scan_inputs=1, body=inner(nodes, ("s", "x"), outputs))
    given = [value("S", kind, (2,)), value("X", kind)]
    return whole([made], given, [value("Y", out or kind, (2,)), *(value(name, kind, None) for name in taken[1:])])


SQUEEZE = [
    node("Constant", [], ["a"], value=helper.make_tensor("a", INT64, [1], [0])),
    node("Squeeze", ["x", "a"], ["y"]),
]
ABS, RELU = node("Abs", ["x"], ["t"]), node("Relu", ["t"], ["y"])
SUMS = [node("Add", ["s", "x"], ["t"]), node("Identity", ["t"], ["o"])]
CHANGED = [node("Cast", ["s"], ["t"], to=INT32), node("Identity", ["x"], ["o"])]
ADD = node("Add", ["s", "s"], ["t"])
CASES = {
    "a function's parameter read by a graph inside": calls(choice(node("Abs", ["x"], ["o"]))),
    "a function's value read by a graph inside": calls(choice(node("Abs", ["t"], ["o"]), ABS)),
    "nothing makes it": calls(choice(node("Abs", ["q"], ["o"]))),
    "a name of the caller, read by a graph inside": calls(choice(node("Abs", ["X"], ["o"]))),
    "a name of the caller": calls(function([node("Add", ["x", "X"], ["y"])])),
    "nobody's name": calls(function([node("Add", ["x", "q"], ["y"])])),
    "a graph inside makes a value of the function again": calls(choice(node("Abs", ["x"], ["t"]), ABS)),
    "sorted": calls(function([ABS, RELU])),
    "a function is not sorted": calls(function([RELU, ABS])),
    "a function that nobody calls is not sorted": calls(function([ABS, RELU]), function([RELU, ABS], name="G")),
    "a function makes a value twice": calls(function([ABS, ABS, RELU])),
    "a parameter is made again": calls(function([node("Abs", ["x"], ["x"]), node("Relu", ["x"], ["y"])])),
    "a function does not make its output": calls(function([ABS])),
    "a function that nobody calls does not make its output": calls(function([ABS, RELU]), function([ABS], name="G")),
    "a parameter is an output": calls(function([ABS], outputs=("x",))),
    "more arguments than parameters": calls(function([ABS, RELU]), given=("X", "X")),
    "more outputs than the function has": calls(function([ABS, RELU]), taken=("Y", "Z")),
    "fewer arguments, none missed": calls(function([ABS, RELU], inputs=("x", "q"))),
    "fewer arguments, one missed": calls(function([node("Add", ["x", "q"], ["y"])], inputs=("x", "q"))),
    "an opset that the function does not import": calls(helper.make_function("my", "F", ["x"], ["y"], [ABS, RELU], [])),
    "opset 13 in 11": calls(function(SQUEEZE, opset=13), opset=11, shape=(1, 2), out=(2,)),
    "opset 11 in 13": calls(function([node("Squeeze", ["x"], ["y"], axes=[0])], opset=11), opset=13, shape=(1, 2), out=(2,)),
    "opset 13 in 13": calls(function(SQUEEZE, opset=13), opset=13, shape=(1, 2), out=(2,)),
    "an operator of opset 20 in 18": calls(function([node("Gelu", ["x"], ["y"])], opset=20)),
    "an operator of opset 20, function of 18, in 20": calls(function([node("Gelu", ["x"], ["y"])], opset=18), opset=20),
    "deprecated in the function's opset, not in the model's": calls(
        function([node("Constant", [], ["a"], value=helper.make_tensor("a", FLOAT, [2], [1, 1])),
                  node("Upsample", ["x", "a"], ["y"])], opset=11), opset=9),
    "a loop of a type that Add has no kernel for": loop([ADD, ID], kind=BF16),
    "a loop of float": loop([ADD, ID]),
    "a loop of int8, which Add of opset 13 does not take": loop([ADD, ID], kind=3, opset=13),
    "a loop without a count": loop([node("Cast", ["i"], ["f"], to=FLOAT), node("Add", ["s", "f"], ["t"]), ID],
                                   given=("", "C", "X")),
    "a loop without a condition, of no type": loop([ADD, ID], given=("M", "", "X")),
    "a loop without a condition": loop([ADD, ID], given=("M", "", "X"), inputs=[*bare("i"), value("go", BOOL, ()), *bare("s")]),
    "a loop whose state is declared otherwise": loop([ADD, ID], inputs=[*bare("i", "go"), value("s", INT32)], out=INT32),
    "a loop whose count is declared otherwise": loop([ADD, ID], inputs=[value("i", INT32, ()), *bare("go", "s")]),
    "a loop that changes the type of its state": loop([node("Cast", ["s"], ["t"], to=INT32), ID], out=INT32),
    "a loop with one input more than its body": loop([node("Abs", ["X"], ["t"]), ID], inputs=("i", "go")),
    "a loop with one output less than its body": loop([ADD, ID], outputs=("on", "t", "t")),
    "a loop with one output more than its body": loop([ADD, ID], taken=("Y", "Z")),
    "a scan of a type that Add has no kernel for": scan(SUMS, kind=BF16),
    "a scan of float": scan(SUMS),
    "a scan that changes the type of its state": scan(CHANGED, out=INT32),
    "a scan with one output less than its body": scan(SUMS, taken=("Y",)),
    "a graph inside makes a value again": whole(
        [node("Abs", ["X"], ["t"]), node("Loop", ["M", "C", "X"], ["Y"], body=inner([ADD, ID], ("i", "go", "s"), ("on", "t")))],
        [value("X")], [value("Y")]),
    "a graph inside makes a later value again": whole(
        [node("Loop", ["M", "C", "X"], ["Y"], body=inner([ADD, ID], ("i", "go", "s"), ("on", "t"))), node("Abs", ["X"], ["t"])],
        [value("X")], [value("Y")]),
    "an input of a graph inside has a name again": loop([node("Abs", ["X"], ["t"]), ID], inputs=("i", "go", "X")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_what_the_runtime_does(case, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(CASES[case].SerializeToString())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        loads, why = True, ""
    except Exception as error:  # noqa: BLE001 - what it raises has no common class
        loads, why = False, str(error)
    release = onnxruntime.__version__
    findings = check(read_facts(str(path)), bare_runtime(MATRIX, f"onnxruntime={release}"), MATRIX)
    verdict = judge(str(path), release, findings)
    assert (verdict.word != "incompatible") == loads, f"{why}\n{[f.has for f in verdict.findings[:2]]}"
