"""What runs a net on this processor: torch as it is, or OpenVINO (optional), in float32 or bfloat16.

An engine is a plain function from a Batch of one tile to (K, H, W) float32 numbers in the units of the net's outputs.
The front of a net (encoding, alignment) always runs in float32; the trunk, plain layers only, is what engines take.
Refuses to guess: an engine that is not installed, or a net without a trunk where one is needed, is an error.
"""

import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from headscarp.core.errors import BundleError, DeviceError, RecipeError
from headscarp.core.tile import windows
from headscarp.nets.batch import Batch
from headscarp.nets.blend import blend_windows
from headscarp.nets.memory import ran_out_of_memory
from headscarp.nets.net import Net, PixelNet
from headscarp.nets.turns import mean_over_turns
from headscarp.nets.windows import Windows, windows_at_once

PRECISIONS = ("float32", "bf16")

PIECE_PX = 128
"""Side of the squares that nets of places are run on one after the other, in pixels."""

Engine = Callable[[Batch], np.ndarray]
"""Batch of one tile, halo included -> (K, H, W) float32, of nets with a stride repeated over its pixels. Safe to call
from several threads at once."""

M = TypeVar("M", bound=torch.nn.Module)

Run = Callable[[Batch], np.ndarray]
"""Batch of tiles of one size -> (B, K, H, W) float32, likewise."""


def make_engine(name: str, net: Net, precision: str = "float32", *, threads: int = 1) -> Engine:
    """An engine of ENGINES for a net in evaluation mode.

    precision: "float32" or "bf16" (bfloat16 inside the trunk). threads: how many threads will call it at once.
    Raises RecipeError for names that are not there, BundleError where the engine cannot take the net.
    """
    check_engine(name, net, precision)
    run = ENGINES[name](net.eval(), precision, threads)
    if isinstance(net, PixelNet) and net.turns > 1:
        run = _turned(run, net)
    if net.stride > 1:
        run = _spread(run, net.stride)
    if net.judges_places:
        run = _piecewise(run, net.align)
    if net.window_px is not None:
        return _blended(run, net.window_px, Windows(windows_at_once(net.window_px) if name == "torch" else 1))

    def engine(batch: Batch) -> np.ndarray:
        held = [batch]
        del batch  # see run_trunk
        try:
            return run(held.pop())[0]
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            raise DeviceError(f"a block does not fit into memory ({error}); use a smaller --block-px") from error

    return engine


def check_engine(name: str, net: Net, precision: str) -> None:
    """Raises what `make_engine` would raise, without making one."""
    if name not in ENGINES:
        raise RecipeError(f"there is no engine {name!r}; use one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise RecipeError(f"there is no precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    if name == "openvino":
        _openvino()
        if not isinstance(net, PixelNet):
            raise BundleError(
                f"{type(net).__name__} has no trunk of plain layers, so OpenVINO cannot run it; use --engine torch"
            )


def torch_engine(net: Net, precision: str, threads: int) -> Run:
    """PyTorch itself. Layers run channels-last, which its CPU kernels like best (2x on a U-Net)."""
    if not isinstance(net, PixelNet):
        net = for_channels_last(copy.deepcopy(net))

        def run_net(batch: Batch) -> np.ndarray:
            with torch.inference_mode():
                return np.asarray(net.predict(batch).float().numpy())

        return run_net
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    trunk = for_channels_last(copy.deepcopy(net.trunk)).to(dtype)

    def run_trunk(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            front = net.front(batch).to(dtype=dtype, memory_format=torch.channels_last)
            del batch  # its memory, where the caller let go of it, is free while the trunk runs
            return np.asarray(trunk(front).float().sigmoid_().numpy())

    return run_trunk


def openvino_engine(net: Net, precision: str, threads: int) -> Run:
    """OpenVINO's CPU plugin on the trunk: one compiled model, one stream and one request a calling thread."""
    openvino = _openvino()
    assert isinstance(net, PixelNet)  # make_engine has checked
    model = _converted(openvino, net)
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        # pinned streams of two models, or of two processes, would share the first core
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    requests = threading.local()

    def run(batch: Batch) -> np.ndarray:
        if not hasattr(requests, "one"):
            requests.one = compiled.create_infer_request()
        with torch.inference_mode():
            front = net.front(batch).permute(0, 2, 3, 1).contiguous().numpy()  # no copy: fronts are channels-last
        del batch
        requests.one.infer([front], share_inputs=True)
        logits = torch.from_numpy(np.asarray(requests.one.get_output_tensor(0).data))  # (1, K, H, W)
        return np.asarray(logits.float().sigmoid().numpy())

    return run


ENGINES: dict[str, Callable[[Net, str, int], Run]] = {"torch": torch_engine, "openvino": openvino_engine}


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Torch on one thread inside, as before after it: blocks are spread over threads, layers then are not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def middle(batch: Batch, side: int) -> Batch:
    """A side x side piece amid a batch, copied."""
    height, width = batch.valid.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    piece = (..., slice(top, top + side), slice(left, left + side))
    return replace(batch, x=batch.x[piece].clone(), valid=batch.valid[piece].clone(), y=None)


def largest_change(engine: Engine, reference: Engine, batch: Batch) -> float:
    """The largest difference of two engines over the valid pixels of a batch; NaN where there are none."""
    there = batch.valid[0].numpy()
    if not there.any():
        return float("nan")
    found, wanted = engine(batch).copy(), reference(batch)
    return float(np.abs(found - wanted)[:, there].max())


def _blended(run: Run, window_px: int, windows: Windows) -> Engine:
    """An engine of windows as one of tiles of any size; tiles of one raster share their windows."""

    def make(part: Batch) -> torch.Tensor:
        return torch.from_numpy(run(part).copy())

    def engine(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(blend_windows(make, batch, window_px, windows)[0].numpy())

    return engine


def _turned(run: Run, net: PixelNet) -> Run:
    """A run whose numbers are means over the flips and turns that the net asks for."""

    def make(part: Batch) -> torch.Tensor:
        return torch.from_numpy(run(part))

    def turned(batch: Batch) -> np.ndarray:
        return np.asarray(mean_over_turns(make, batch, net.bands, net.turns).numpy())

    return turned


def _piecewise(run: Run, align: int) -> Run:
    """A run of squares of places one after the other: places see nothing of each other, and what is held of a square
    fits the caches, where a whole block of frames would be mapped and touched anew in each layer."""
    side = max(1, PIECE_PX // align) * align

    def piecewise(batch: Batch) -> np.ndarray:
        rows, cols = batch.x.shape[-2:]
        if rows <= side and cols <= side:
            return run(batch)
        out: np.ndarray | None = None
        for window in windows((rows, cols), side):
            inside = window.clip((rows, cols)).slices
            part = replace(batch, x=batch.x[(..., *inside)], valid=batch.valid[(..., *inside)], y=None, traces=None)
            made = run(part)
            if out is None:
                out = np.empty((*made.shape[:-2], rows, cols), made.dtype)
            out[(..., *inside)] = made
        assert out is not None  # a batch holds at least one pixel
        return out

    return piecewise


def _spread(run: Run, stride: int) -> Run:
    """A run that gives squares as one that gives pixels."""

    def spread(batch: Batch) -> np.ndarray:
        held = [batch]
        del batch  # see run_trunk
        return np.repeat(np.repeat(run(held.pop()), stride, axis=-1), stride, axis=-2)

    return spread


def for_channels_last(module: M) -> M:
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise RecipeError(
            "the engine 'openvino' is not installed; install it with: pip install headscarp[openvino], "
            "or use --engine torch"
        ) from error
    return openvino


def _converted(openvino: Any, net: PixelNet) -> Any:
    """The trunk as an OpenVINO model whose height and width stay open: (1, H, W, F) -> (1, K, H, W)."""
    side = 2 * net.align if net.align > 1 else 32
    bands = len(net.bands)
    example = Batch(x=torch.zeros(1, bands, side, side), valid=torch.ones(1, side, side, dtype=torch.bool))
    with torch.inference_mode():
        front = net.front(example)
        channels = front.shape[1]
        shape = openvino.PartialShape([1, channels, -1, -1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # OpenVINO reads torch by ways that torch has deprecated
            model = openvino.convert_model(net.trunk, example_input=front.clone(), input=[shape])
    wrapped = openvino.preprocess.PrePostProcessor(model)
    wrapped.input().tensor().set_layout(openvino.Layout("NHWC"))
    wrapped.input().model().set_layout(openvino.Layout("NCHW"))
    return wrapped.build()
