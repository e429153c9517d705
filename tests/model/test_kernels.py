"""The kernels compute what PyTorch computes, and each row is bit-identical in any batch."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mmt
from mmt.model.compiled import SOURCES, _start_second_process, compiling, match_threads
from mmt.model.cpu.kernels import linear, normalise
from mmt.model.cpu.scalars import array_of, exp, gelu, narrowed, widened
from mmt.model.cpu.weights import LANES, BlockWeights, LinearWeights, NormWeights
from mmt.sampling.lookahead import Lookahead
from mmt.sampling.state import Rules

match_threads()


def make_map(outputs: int, inputs: int, *, int8: bool = False) -> tuple[nn.Linear, LinearWeights]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(outputs)
        of = nn.Linear(inputs, outputs).requires_grad_(False)
    return of, LinearWeights.of(of.weight, of.bias, int8=int8)


def make_rows(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).standard_normal((count, width), np.float32)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 150), st.booleans())
def test_linear_maps_of_any_size_and_number_of_rows_equal_those_of_torch(
    count: int, inputs: int, outputs: int, int8: bool
) -> None:
    of, ours = make_map(outputs, inputs, int8=int8)
    rows = make_rows(count, inputs)
    mapped = linear(rows, ours)
    assert mapped.shape == (count, outputs)
    if int8:
        of.weight.data = torch.from_numpy(np.rint(of.weight.numpy() / ours.scale[:, None]) * ours.scale[:, None])
    np.testing.assert_allclose(mapped, of(torch.from_numpy(rows)).numpy(), rtol=0, atol=2e-5)
    for row in (0, count // 2, count - 1):
        assert np.array_equal(linear(rows[row : row + 1], ours)[0], mapped[row])


def test_rows_may_have_strides_but_must_have_the_width_of_the_map() -> None:
    _, ours = make_map(20, 8)
    rows = make_rows(6, 8)
    assert np.array_equal(linear(rows.repeat(2, axis=1)[:, ::2], ours), linear(rows, ours))
    with pytest.raises(ValueError, match="rows have 7 numbers; the linear map takes 8"):
        linear(rows[:, :7], ours)


def test_weights_are_stored_in_groups_of_outputs_padded_with_zeros() -> None:
    of, ours = make_map(20, 3)
    assert ours.weight.shape[1:] == (3, LANES)
    laid = ours.weight.transpose(0, 2, 1).reshape(-1, 3)
    assert np.array_equal(laid[:20], of.weight.numpy())
    assert not laid[20:].any()


def test_int8_maps_take_zeros_and_are_exact_without_rounding() -> None:
    of = nn.Linear(4, 2).requires_grad_(False)
    of.weight[:] = torch.tensor([[127.0, -3, 0, 5], [0, 0, 0, 0]])
    ours = LinearWeights.of(of.weight, of.bias, int8=True)
    assert ours.weight.dtype == np.int8
    rows = torch.tensor([[1.0, 0.5, -1, 1], [0, 0, 0, 0], [-8, 8, 0, 0]])
    np.testing.assert_allclose(linear(rows.numpy(), ours), of(rows).numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_norms_equal_those_of_torch(bias: bool) -> None:
    norm = nn.LayerNorm(48, bias=bias).requires_grad_(False)
    norm.weight.uniform_(0.5, 2.0)
    rows = 3 * make_rows(5, 48) + 1
    np.testing.assert_allclose(
        normalise(rows, NormWeights.of(norm)), norm(torch.from_numpy(rows)).numpy(), rtol=0, atol=5e-6
    )
    assert not len(NormWeights.of(nn.Identity()).weight)


def test_exp_and_gelu_equal_exact_values() -> None:
    numbers = np.linspace(-30, 30, 20_001, dtype=np.float32)
    expected = nn.functional.gelu(torch.from_numpy(numbers).double()).numpy()
    assert max(abs(gelu(number) - true) for number, true in zip(numbers, expected, strict=True)) < 2e-6
    small = -np.abs(numbers)
    assert max(abs(exp(number) / np.exp(np.float64(number)) - 1) for number in small) < 5e-7
    assert 0 < exp(np.float32(-1000)) < 1e-30


@numba.njit
def there_and_back(numbers, halves, back):  # type: ignore[no-untyped-def]
    for place in range(len(numbers)):
        halves[place] = narrowed(numbers[place], halves)
        back[place] = widened(halves[place])


def test_conversion_to_bfloat16_and_back_equals_that_of_torch() -> None:
    random = np.random.default_rng(0)
    scales = np.exp2(random.integers(-40, 40, 10_000)).astype(np.float32)
    ties = np.arange(0x3F800000, 0x3F900000, 0x8000, np.uint32).view(np.float32)
    numbers = np.concatenate(
        [random.standard_normal(10_000, np.float32) * scales, ties, -ties, [0.0, -0.0, np.inf, -np.inf]]
    )
    numbers = numbers.astype(np.float32)
    expected, back = torch.from_numpy(numbers).bfloat16(), np.empty_like(numbers)
    halves = array_of(torch.zeros_like(expected))
    there_and_back(numbers, halves, back)
    assert np.array_equal(halves, array_of(expected))
    assert np.array_equal(back, expected.float().numpy())
    # Float32 arrays are not rounded.
    there_and_back(numbers, whole := np.empty_like(numbers), back)
    assert np.array_equal(whole, numbers)


def test_several_threads_may_compute_at_once() -> None:
    _, ours = make_map(300, 64)
    rows = make_rows(7, 64)
    expected = linear(rows, ours)
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(one, expected) for one in pool.map(lambda _: linear(rows, ours), range(200)))


def test_the_notice_of_compilation_is_printed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmt.model.compiled._CompilationListener.is_told", False)
    with compiling(notice=False):
        numba.njit(lambda: 1)()
    assert capsys.readouterr() == ("", "")
    for _ in range(2):
        with compiling():
            numba.njit(lambda: 1)()
    assert capsys.readouterr().err.count("Compiling for this processor") == 1


def test_a_second_process_compiles_all_functions_of_sampling(tmp_path: Path) -> None:
    code = """
import mmt
from numba.core.event import Listener, install_listener

class Names(Listener):
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("mmt."):
            print(function.__module__)

    def on_end(self, event):
        pass

model = mmt.load_model()
prompt = mmt.prompt.instruments("violin", "cello", representation=model.representation)
with install_listener("numba:compile", Names()):
    model.generate(prompt, seed=1, max_events=16)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-P", "-m", "mmt.sampling.warm_up"], check=True, env=environment)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert set(done.stdout.split()) == {"mmt.model.cpu.kernels", "mmt.model.cpu.scalars"}


def test_the_second_process_ends_with_the_context(tmp_path: Path) -> None:
    code = """
import torch
torch.set_num_threads(2)
from mmt.model import compiled
from mmt.model.cpu.scalars import exp
import numpy as np
started = []
start = compiled._start_second_process
compiled._start_second_process = lambda: started.append(start()) or started[0]
with compiled.compiling():
    exp(np.float32(0))
with compiled.compiling():
    exp(np.float64(0))
print(len(started), started[0].returncode)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "-9"]


@pytest.mark.parametrize("executable", ["", "/usr/bin/uwsgi"])
def test_no_second_process_without_a_python_to_start(monkeypatch: pytest.MonkeyPatch, executable: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: pytest.fail("a process was started"))
    monkeypatch.setattr(sys, "executable", executable)
    assert _start_second_process() is None


def test_loops_that_numba_lifts_from_functions_of_the_user_compile() -> None:
    def total(count: int) -> int:
        kept = object()
        found = 0
        for number in range(count):
            found += number
        assert kept is not None
        return found

    with compiling(notice=False):
        assert numba.jit(forceobj=True, looplift=True)(total)(10) == 45


def test_compilation_works_without_a_cache_folder(tmp_path: Path) -> None:
    """Numba caches compiled code next to the source, or in the user's cache folder, or not at all."""
    code = (
        "from numba.core.caching import CacheImpl\n"
        "CacheImpl._locator_classes = []\n"
        "from mmt.model.cpu.scalars import exp; import numpy as np; print(exp(np.float32(0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 1


def test_cached_code_is_named_after_all_its_sources() -> None:
    """Everything that compiled functions take from other modules: functions, constants, and classes of arguments."""
    taken = {BlockWeights.__module__, Rules.__module__, Lookahead.__module__}
    for module in Path(mmt.__file__).parent.rglob("*.py"):
        body = ast.parse(module.read_text(encoding="utf-8")).body
        functions = [one for one in body if isinstance(one, ast.FunctionDef) and one.decorator_list]
        used = {
            node.id
            for function in functions
            if any(ast.unparse(decorator).startswith("compiled(") for decorator in function.decorator_list)
            for node in ast.walk(function)
            if isinstance(node, ast.Name)
        }
        for one in body:
            if isinstance(one, ast.ImportFrom) and used & {name.name for name in one.names}:
                taken.add(one.module or "")
    named = {f"mmt.{source.removesuffix('.py').replace('/', '.')}" for source in SOURCES}
    assert {module for module in taken if module.startswith("mmt.")} == named
