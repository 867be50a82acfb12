"""Langevin steps on a GPU as one CUDA graph: captured once per shape, replayed with new weights, chains and noise.

Without a graph a fast card waits for the processor, which takes longer to launch a step than the card to compute it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics
from core.engine.interface import Watch
from core.engine.kernel import advance_
from core.engine.layout import Layout, box_for_blocks, project_blocks_
from core.engine.noise import Share
from core.pictures.colour_box import ColourBox
from core.theory.langevin import langevin_coefficients
from core.theory.model import Architecture

MAX_GRAPH_STEPS = 10
_KEYS = 2**62


@dataclass(frozen=True)
class GraphKey:
    """What a captured graph depends on, besides the numbers in its memory. box: compared by identity, not by value.

    before: pictures of other processes whose noise precedes that of these in the kernel's counter.
    """

    architecture: Architecture
    layout: Layout
    pictures: int
    step_size: float
    random_lattice: bool
    steps: int
    box: ColourBox | None = field(compare=False)
    before: int = 0

    def matches(self, other: "GraphKey") -> bool:
        """Return True if the graph of `other` can be replayed for this key."""
        return self == other and self.box is other.box


class CapturedSteps:
    """`key.steps` Langevin steps on tensors of its own, captured as a graph.

    capture: if False the steps run one by one, on any device.
    """

    def __init__(self, key: GraphKey, blocked: BlockedNet, chains: Tensor, capture: bool = True) -> None:
        self.key, self._blocked = key, blocked.clone()
        self._moved = torch.zeros(2, dtype=torch.int64, device=chains.device)
        self._chains = chains.clone(memory_format=torch.channels_last)
        self._phases = torch.zeros(key.steps, 2, dtype=torch.int64, device=chains.device)
        self._noise_key = torch.zeros(1, dtype=torch.int64, device=chains.device)
        self._box = None if key.box is None else box_for_blocks(key.box.to(chains), key.layout.stride)
        self._mask = key.layout.mask(chains)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._last_replay: torch.cuda.Event | None = None
        if capture:
            self._capture()

    def load(self, blocked: BlockedNet, chains: Tensor, generator: torch.Generator) -> None:
        """Set the weights and chains of the next replay, and draw the key of its noise."""
        self._blocked.copy_(blocked)
        self._chains.copy_(chains)
        self._moved.zero_()
        self._noise_key.random_(_KEYS, generator=generator)

    def replay(self, generator: torch.Generator) -> None:
        """Take the steps, from where the last replay ended or from what was loaded since."""
        if self.key.random_lattice:
            self._phases.random_(self.key.architecture.total_stride, generator=generator)
            self._moved.add_(self._phases.sum(dim=0))
        if self._graph is None:
            self._steps(self.key.steps)
        else:
            self._graph.replay()
            self._last_replay, before = torch.cuda.Event(), self._last_replay  # type: ignore[no-untyped-call]
            self._last_replay.record()
            if before is not None:
                before.synchronize()  # at most one replay is queued behind the running one, so a run can stop soon

    @property
    def chains(self) -> Tensor:
        """Return a copy of the chains, (N, C s², blocks)."""
        return self._chains.clone()

    @property
    def chains_in_place(self) -> Tensor:
        """Return the chains (N, C, H, W) with every pixel where it was when they were loaded."""
        return _rolled(self.key.layout.from_blocks(self._chains), -self._moved)

    def _capture(self) -> None:
        stream = torch.cuda.Stream(self._chains.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._chains.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # the libraries choose their kernels and allocate their workspaces here
                self._steps(1)
            stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=stream):
                self._steps(self.key.steps)
        torch.cuda.current_stream(self._chains.device).wait_stream(stream)

    def _steps(self, count: int) -> None:
        key = self.key
        coefficients = langevin_coefficients(key.step_size, key.architecture.reference_std)
        for step in range(count):
            if key.random_lattice:
                rolled = _rolled(key.layout.from_blocks(self._chains), self._phases[step])
                self._chains.copy_(key.layout.to_blocks(rolled))
            basis = self._blocked.basis(self._chains, key.layout).contiguous(memory_format=torch.channels_last)
            advance_(self._chains, basis, self._noise_key, coefficients, key.before * self._chains[0].numel())
            if self._box is not None:
                project_blocks_(self._chains, self._box)
            if self._mask is not None:
                self._chains.mul_(self._mask)


class CapturedRunner:
    """Runs any number of steps by replays, and keeps the last graph: learning runs the same one thousands of times.

    capture: as in `CapturedSteps`.
    """

    def __init__(self, capture: bool = True) -> None:
        self._capture = capture
        self._cached: CapturedSteps | None = None

    def run(
        self,
        blocked: BlockedNet,
        layout: Layout,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
        share: Share | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """Return images (N, C, H, W), float32, after `steps` Langevin steps; see `FastEngine.run`.

        `after_step(steps done)` is called after each replay of up to MAX_GRAPH_STEPS steps, and `watch` after that.
        """
        if not steps:
            return images.clone()
        graph_steps = max(length for length in range(1, MAX_GRAPH_STEPS + 1) if steps % length == 0)
        architecture, chains = blocked.net.architecture, layout.to_blocks(images)
        key = GraphKey(
            architecture,
            layout,
            len(images),
            dynamics.step_size,
            dynamics.random_lattice,
            graph_steps,
            dynamics.box,
            share.first if share else 0,
        )
        if self._cached is None or not key.matches(self._cached.key):
            self._cached = None  # frees its memory, which the next graph may need
            self._cached = CapturedSteps(key, blocked, chains, self._capture)
        captured = self._cached
        captured.load(blocked, chains, generator)
        for done in range(graph_steps, steps + 1, graph_steps):
            captured.replay(generator)
            if after_step is not None:
                after_step(done)
            if watch is not None:
                watch(done, lambda: captured.chains_in_place)
        return layout.from_blocks(captured.chains)


def _rolled(images: Tensor, phase: Tensor) -> Tensor:
    """Return `images.roll(phase, dims=(2, 3))` for a phase (2,) on the device, which a graph reads in each replay."""
    for dim, by in ((2, phase[0]), (3, phase[1])):
        side = images.shape[dim]
        images = images.index_select(dim, (torch.arange(side, device=images.device) - by) % side)
    return images
