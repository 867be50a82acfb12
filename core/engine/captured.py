"""Langevin steps on a GPU as one CUDA graph: recorded once for a shape, replayed with new weights, chains and noise.

Without it a GPU waits for the processor, which takes longer to ask for a step than a fast card to do it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics
from core.engine.kernel import advance_
from core.engine.layout import Layout, project_blocks_
from core.pictures.colour_box import ColourBox
from core.theory.langevin import langevin_coefficients
from core.theory.model import Architecture

LONGEST = 10  # steps in one graph
_KEYS = 2**62


@dataclass(frozen=True)
class Kind:
    """What a recorded graph depends on beside the numbers in its memory."""

    architecture: Architecture
    layout: Layout
    pictures: int
    step_size: float
    random_lattice: bool
    steps: int
    box: ColourBox | None = field(compare=False)


class CapturedSteps:
    """`kind.steps` steps on memory of its own. With `record` False they are done one by one, on any device."""

    def __init__(self, kind: Kind, blocked: BlockedNet, chains: Tensor, record: bool = True) -> None:
        self.kind, self._blocked = kind, blocked.clone()
        self._chains = chains.clone(memory_format=torch.channels_last)
        self._shifts = torch.zeros(kind.steps, 2, dtype=torch.int64, device=chains.device)
        self._key = torch.zeros(1, dtype=torch.int64, device=chains.device)
        self._box = None if kind.box is None else kind.box.to(chains)
        self._mask = kind.layout.mask(chains)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._replayed: torch.cuda.Event | None = None
        if record:
            self._record()

    def load(self, blocked: BlockedNet, chains: Tensor, generator: torch.Generator) -> None:
        """What the next replays begin from."""
        self._blocked.copy_(blocked)
        self._chains.copy_(chains)
        self._key.random_(_KEYS, generator=generator)

    def replay(self, generator: torch.Generator) -> None:
        if self.kind.random_lattice:
            self._shifts.random_(self.kind.architecture.total_stride, generator=generator)
        if self._graph is None:
            self._steps(self.kind.steps)
        else:
            self._graph.replay()
            self._replayed, before = torch.cuda.Event(), self._replayed  # type: ignore[no-untyped-call]
            self._replayed.record()
            if before is not None:
                before.synchronize()  # one replay waits while one runs, and no more: who stops the run is soon heard

    @property
    def chains(self) -> Tensor:
        """(N, C s², blocks): a copy, which the next replay leaves alone."""
        return self._chains.clone()

    def _record(self) -> None:
        stream = torch.cuda.Stream(self._chains.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._chains.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # the libraries choose their ways here, and take the memory that they need
                self._steps(1)
            stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=stream):
                self._steps(self.kind.steps)
        torch.cuda.current_stream(self._chains.device).wait_stream(stream)

    def _steps(self, count: int) -> None:
        kind = self.kind
        coefficients = langevin_coefficients(kind.step_size, kind.architecture.reference_std)
        for step in range(count):
            if kind.random_lattice:
                self._chains.copy_(
                    kind.layout.to_blocks(_rolled(kind.layout.from_blocks(self._chains), self._shifts[step]))
                )
            pull = self._blocked.basis(self._chains, kind.layout).contiguous(memory_format=torch.channels_last)
            advance_(self._chains, pull, self._key, coefficients)
            if self._box is not None:
                project_blocks_(self._chains, self._box, kind.architecture.channels)
            if self._mask is not None:
                self._chains.mul_(self._mask)


class CapturedRunner:
    """The graph of the last kind of run, kept for the next: learning runs the same one thousands of times."""

    def __init__(self, record: bool = True) -> None:
        self._record = record
        self._run: CapturedSteps | None = None

    def run(
        self,
        blocked: BlockedNet,
        layout: Layout,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
    ) -> Tensor:
        """`steps` Langevin steps of images (N, C, H, W), float32, by replays; `after_step` is told of each replay."""
        if not steps:
            return images.clone()
        together = max(length for length in range(1, LONGEST + 1) if steps % length == 0)
        architecture, chains = blocked.net.architecture, layout.to_blocks(images)
        kind = Kind(
            architecture,
            layout,
            len(images),
            dynamics.step_size,
            dynamics.random_lattice,
            together,
            dynamics.box,
        )
        if self._run is None or self._run.kind != kind or self._run.kind.box is not kind.box:
            self._run = None  # whose memory the next may need
            self._run = CapturedSteps(kind, blocked, chains, self._record)
        self._run.load(blocked, chains, generator)
        for done in range(together, steps + 1, together):
            self._run.replay(generator)
            if after_step is not None:
                after_step(done)
        return layout.from_blocks(self._run.chains)


def _rolled(images: Tensor, shift: Tensor) -> Tensor:
    """(N, C, H, W) moved periodically by `shift` (2,) pixels down and to the right, a number that the graph reads."""
    for dim, by in ((2, shift[0]), (3, shift[1])):
        side = images.shape[dim]
        images = images.index_select(dim, (torch.arange(side, device=images.device) - by) % side)
    return images
