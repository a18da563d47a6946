"""The integers of ONNX Runtime's graph: how numbers are rounded, and that no sum is cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import TensorProto, helper, numpy_helper

from service.scoring.backends import onnx_graph


@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 9)),
        elements=st.floats(-3, 3, width=32),
    )
)
def test_weights_are_rounded_to_the_nearest_number_by_a_scale_of_each_output(
    weight: npt.NDArray[np.float32],
) -> None:
    small, step = onnx_graph.quantised_weight(weight)
    assert small.shape == weight.shape
    assert small.min() >= 1  # so that -127 to 127 are alike
    rounded_ = (small.astype(np.float32) - 128) * step[:, None]
    assert (np.abs(rounded_ - weight) <= 0.501 * step[:, None]).all()


@pytest.mark.parametrize("zero", [0, 128])
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 35])
def test_no_sum_of_products_is_cut_off_by_this_processor(rows: int, zero: int) -> None:
    """With the largest numbers that there can be: weights kept as int8 fail where no VNNI is."""
    random = np.random.default_rng(3)
    weight = random.choice([-1, 1], (40, 48)).astype(np.float32)
    weight[:, ::7] = 1  # neighbours of one sign
    weight[:, 1::7] = 1
    small, step = onnx_graph.quantised_weight(weight)
    node = helper.make_node(
        "MatMulIntegerToFloat",
        ["x", "w", "one", "step", "zero", "zero of w"],
        ["y"],
        domain="com.microsoft",
    )
    constants = {
        "w": np.ascontiguousarray(small.T),
        "one": np.array(1, np.float32),
        "step": step,
        "zero": np.array(zero, np.uint8),
        "zero of w": np.array(128, np.uint8),
    }
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [rows, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, ir_version=10, opset_imports=opsets)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for values in (
        np.full((rows, 48), 255),
        np.zeros((rows, 48)),
        np.where(weight[:rows] > 0, 255, 1)[np.arange(rows) % len(weight[:rows])],
    ):
        [got] = session.run(None, {"x": values.astype(np.uint8)})
        exact = (values.astype(int) - zero) @ (small.T.astype(int) - 128) * step
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("gelu", torch.nn.functional.gelu),
        ("gelu_new", lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        ("relu", torch.relu),
        ("silu", torch.nn.functional.silu),
    ],
)
def test_no_activation_goes_below_what_is_taken_for_its_lowest(name: str, activation: Any) -> None:
    lowest = float(activation(torch.linspace(-20, 20, 400_001, dtype=torch.float64)).min())
    assert lowest - 1e-4 <= -onnx_graph._LOWEST[name] <= lowest
