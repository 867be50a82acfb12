"""The fast engine over several processes: each computes its share of the pictures, rank 0 gets the whole.

Rank 0 runs Algorithm 1 and keeps its whole state: weights, chains, optimizer, generator. For each call of the engine it
sends the weights if they have changed, and to each rank its share of the pictures; it gets back the moved chains, or
the sum over all ranks of the gradients (eq. 21 is a mean over pictures). This and the next iteration's weights are the
two halves of an all-reduce, with line 6 of Algorithm 1 between them. The others keep nothing, so that ranks cannot
come to differ, and a checkpoint of rank 0 is the whole.

A chain's noise is what it is in one process (`core.engine.noise.Share`), so results differ by rounding alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from core.engine.dynamics import Dynamics
from core.engine.fast import FastEngine
from core.engine.interface import Batch, PreparedNet, ScoreGradient, Watch
from core.engine.noise import Share
from core.engine.ranks import STALL_SECONDS, Answer, Ranks, Receive, started_ranks
from core.schemas.geometry import Boundary
from core.theory.model import Architecture, GenerativeConvNet


@dataclass(frozen=True)
class BasisTask:
    """Compute B; see `Engine.basis`."""

    boundary: Boundary


@dataclass(frozen=True)
class RunTask:
    """Move the chains; see `Engine.run`. generator: the state from which all ranks draw."""

    steps: int
    dynamics: Dynamics
    generator: Tensor


@dataclass(frozen=True)
class GradientTask:
    """Compute ∂f/∂w; see `Engine.gradient`. counted: the size (1, H_L, W_L) of a picture's mask, if there is one."""

    boundary: Boundary
    counted: tuple[int, ...] | None


@dataclass(frozen=True)
class RankRequest:
    """What all ranks compute next.

    shape, dtype: of all pictures. has_weights: new weights, of `weights_dtype`, are sent before the pictures.
    """

    task: BasisTask | RunTask | GradientTask
    precision: Literal["bfloat16", "float32"]
    architecture: Architecture
    shape: tuple[int, ...]
    dtype: torch.dtype
    has_weights: bool
    weights_dtype: torch.dtype
    threads: int

    def shares(self, size: int) -> list[Share]:
        """Divide the pictures among `size` ranks as evenly as possible. Some are empty if pictures are few."""
        whole = self.shape[0]
        least, left = divmod(whole, size)
        return [Share(rank * least + min(rank, left), least + (rank < left), whole) for rank in range(size)]


@dataclass(frozen=True)
class _RankSums:
    """What one rank adds to a ScoreGradient.

    positions: of the top map that count, over its pictures. gradient (weights,), score and active: sums over these
    positions; active over the pictures.
    """

    gradient: Tensor
    positions: int
    score: float
    active: tuple[float, ...]

    @classmethod
    def of(
        cls, engine: FastEngine, net: GenerativeConvNet, images: Tensor, boundary: Boundary, counted: Tensor | None
    ) -> "_RankSums":
        """Compute the sums of pictures (n, C, H, W), perhaps none."""
        if not len(images):
            return cls(torch.zeros_like(_flat(net.parameters())), 0, 0.0, (0.0,) * len(net.weights))
        positions = len(images) if counted is None else int(counted.sum())
        # Without a position that counts there is no mean: that over all positions is computed and counts nothing.
        found = engine.gradient(net, images, boundary, counted if positions else None)
        return cls(
            positions * _flat(found.parameters),
            positions,
            positions * found.score,
            tuple(len(images) * share for share in found.active_share),
        )


class DistributedEngine:
    """The engine that divides pictures among the ranks of a group; this process is rank 0."""

    def __init__(self, engine: FastEngine, ranks: Ranks) -> None:
        self._engine, self._ranks = engine, ranks
        self._sent: tuple[Architecture, Tensor] | None = None

    @property
    def precision(self) -> str:
        """The precision of every rank's engine; see `Engine.precision`."""
        return self._engine.precision

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._ranks.size

    def prepare(self, net: GenerativeConvNet) -> PreparedNet:
        """Prepare a net for passes of this process alone."""
        return self._engine.prepare(net)

    @torch.no_grad()
    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        """Return B of pictures, (N, C, H, W); see `Engine.basis`."""
        return self._gathered(net, images, BasisTask(boundary), lambda own, _: self._engine.basis(net, own, boundary))

    @torch.no_grad()
    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
        *,
        watch: Watch | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return N moved chains, (N, C, H, W); see `Engine.run`. They cannot be watched: each process has its own."""
        task = RunTask(steps, dynamics, generator.get_state())
        return self._gathered(
            net,
            images,
            task,
            lambda own, share: self._engine.run(net, own, steps, dynamics, generator, after_step, share),
        )

    @torch.no_grad()
    def gradient(
        self, net: GenerativeConvNet, images: Tensor, boundary: Boundary, counted: Tensor | None = None
    ) -> ScoreGradient:
        """Return ∂f/∂w of pictures (N, C, H, W); see `Engine.gradient`."""
        task = GradientTask(boundary, None if counted is None else tuple(counted.shape[1:]))
        shares = self._scatter(net, images, task)
        if counted is not None:
            self._send_shares(counted.to(torch.uint8), shares)
        first = slice(0, shares[0].end)
        mask = None if counted is None else counted[first]
        own = _RankSums.of(self._engine, net, images[first], boundary, mask)
        _wait_for_gpu(images.device)
        parts = [own, *self._ranks.answers()]
        total = own.gradient
        with self._ranks.transfer():
            if self.size > 1:
                dist.reduce(total, dst=0)
        positions = sum(part.positions for part in parts)
        layers = zip(*(part.active for part in parts), strict=True)
        return ScoreGradient(
            score=sum(part.score for part in parts) / positions,
            parameters=_like_parameters(total / positions, net),
            active_share=tuple(sum(layer) / len(images) for layer in layers),
        )

    def gradients(self, net: GenerativeConvNet, *batches: Batch) -> list[ScoreGradient]:
        """Return the gradient of each batch; see `Engine.gradients`."""
        return [self.gradient(net, batch.images, batch.boundary, batch.counted) for batch in batches]

    def _gathered(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        task: BasisTask | RunTask,
        compute: Callable[[Tensor, Share], Tensor],
    ) -> Tensor:
        """Compute each share of pictures (N, C, H, W) in its process, and return all of them, of the same shape."""
        shares = self._scatter(net, images, task)
        found = torch.empty_like(images, memory_format=torch.contiguous_format)
        found[: shares[0].end] = compute(images[: shares[0].end], shares[0])
        _wait_for_gpu(images.device)
        self._ranks.answers()
        with self._ranks.transfer():
            received = [
                dist.irecv(found[share.first : share.end], src=rank)
                for rank, share in enumerate(shares[1:], start=1)
                if share.count
            ]
            _wait(received)
        return found

    def _scatter(self, net: GenerativeConvNet, images: Tensor, task: BasisTask | RunTask | GradientTask) -> list[Share]:
        """Tell the other ranks the task, send them the weights if they are new, and their shares of the pictures."""
        weights = _flat(net.parameters())
        is_new = self._sent is None or self._sent[0] != net.architecture or not torch.equal(self._sent[1], weights)
        request = RankRequest(
            task,
            "bfloat16" if self.precision == "bfloat16" else "float32",
            net.architecture,
            tuple(images.shape),
            images.dtype,
            is_new,
            weights.dtype,
            torch.get_num_threads(),
        )
        if self.size > 1:
            self._ranks.request(request)
            if is_new:
                with self._ranks.transfer():
                    dist.broadcast(weights, src=0)
                self._sent = (net.architecture, weights)
        shares = request.shares(self.size)
        self._send_shares(images, shares)
        return shares

    def _send_shares(self, pictures: Tensor, shares: Sequence[Share]) -> None:
        pictures = pictures.contiguous()
        with self._ranks.transfer():
            sent = [
                dist.isend(pictures[share.first : share.end], dst=rank)
                for rank, share in enumerate(shares[1:], start=1)
                if share.count
            ]
            _wait(sent)


@contextmanager
def distributed_engine(
    engine: FastEngine,
    devices: Sequence[torch.device],
    *,
    check_interrupt: Callable[[], None] = lambda: None,
    stall_seconds: float = STALL_SECONDS,
) -> Iterator[DistributedEngine]:
    """Start a process for each of `devices` but the first, on which `engine` computes, and return the engine of all.

    See `core.engine.ranks.started_ranks`. The engine has fewer processes if some cannot use their device. It raises
    ProcessLost if one is lost later.
    """
    with started_ranks(devices, serve, check_interrupt=check_interrupt, stall_seconds=stall_seconds) as ranks:
        yield DistributedEngine(engine, ranks)


def serve(receive: Receive, answer: Answer, device: torch.device) -> None:
    """Compute this rank's share of each request until `receive` raises EOFError; the other half of DistributedEngine.

    An error is sent instead of an answer, and rank 0 raises it.
    """
    net, engine = None, None
    while True:
        request: RankRequest = receive()
        if request.threads != torch.get_num_threads():
            torch.set_num_threads(request.threads)
        engine = engine if engine and engine.precision == request.precision else _engine(request)
        if request.has_weights:
            net = _receive_weights(request, device)
        assert net is not None
        with torch.no_grad():
            _serve(request, engine, net, answer, device)


def _serve(
    request: RankRequest, engine: FastEngine, net: GenerativeConvNet, answer: Answer, device: torch.device
) -> None:
    share = request.shares(dist.get_world_size())[dist.get_rank()]
    images = torch.empty((share.count, *request.shape[1:]), dtype=request.dtype, device=device)
    _receive(images)
    mask = None
    if isinstance(request.task, GradientTask) and request.task.counted is not None:
        mask = torch.empty((share.count, *request.task.counted), dtype=torch.uint8, device=device)
        _receive(mask)
    try:
        match request.task:
            case BasisTask(boundary):
                images = engine.basis(net, images, boundary) if share.count else images
            case RunTask(steps, dynamics, state):
                generator = torch.Generator(device)
                generator.set_state(state)
                images = engine.run(net, images, steps, dynamics, generator, share=share) if share.count else images
            case GradientTask(boundary, _):
                sums = _RankSums.of(engine, net, images, boundary, None if mask is None else mask.bool())
        _wait_for_gpu(device)
    except Exception as error:
        answer(error)
        return
    if isinstance(request.task, GradientTask):
        answer(_RankSums(torch.empty(0), sums.positions, sums.score, sums.active))
        dist.reduce(sums.gradient, dst=0)
        return
    answer(None)
    if share.count:
        dist.send(images.contiguous(), dst=0)


def _engine(request: RankRequest) -> FastEngine:
    return FastEngine.of(request.precision)


def _receive_weights(request: RankRequest, device: torch.device) -> GenerativeConvNet:
    net = GenerativeConvNet(request.architecture).to(device, request.weights_dtype)
    weights = _flat(net.parameters())
    dist.broadcast(weights, src=0)
    vector_to_parameters(weights, net.parameters())
    return net


def _receive(pictures: Tensor) -> None:
    if len(pictures):
        dist.recv(pictures, src=0)


def _wait_for_gpu(device: torch.device) -> None:
    """Wait until a GPU has computed what it was asked to: the time limit of a transfer counts from its call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _wait(transfers: Sequence[dist.Work | None]) -> None:
    for one in transfers:
        assert one is not None  # this process belongs to the group
        one.wait()


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return a copy of all numbers as one vector."""
    return torch.cat([one.detach().reshape(-1) for one in tensors])


def _like_parameters(flat: Tensor, net: GenerativeConvNet) -> tuple[Tensor, ...]:
    """Divide a vector into tensors with the shapes of `net.parameters()`."""
    parameters = list(net.parameters())
    parts = torch.split(flat, [one.numel() for one in parameters])
    return tuple(part.view_as(one) for part, one in zip(parts, parameters, strict=True))
