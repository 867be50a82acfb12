"""The net on pictures in blocks (`core.engine.layout`): its bottom-up and top-down passes, without autograd."""

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.interface import ScoreGradient
from core.engine.layout import Layout, filters_from_blocks, filters_to_blocks
from core.engine.onednn import (
    convolution,
    fused_convolution,
    has_fused_convolution,
    packed_filters,
    turned_filters,
)
from core.engine.parallel import parallel_map, serial_if_small
from core.engine.weight_gradient import layer_gradient
from core.theory.decoding import deconvolve
from core.theory.model import GenerativeConvNet, convolve, positions

CHUNK_MAP_BYTES = 5 << 20  # of a chunk's largest map on the processor, at most
MIN_CHUNKS = 4  # fewer if there are fewer pictures
VECTOR = 8  # numbers that a processor's vector units take at once: for a filter more or less it takes as long
MIN_BAND_HALOS = 2  # rows of a band, at least so many times what it computes twice
INTEGER_TYPES = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes


@dataclass(frozen=True)
class BlockedNet:
    """Copies of a net's weights in one dtype: the first layer's in blocks, with stride 1.

    Channels, of the picture and of every layer but an object's top filter, are padded with zeros to multiples of
    `channel_alignment`. Filters of zeros never fire, and the weights of missing channels are zero: the sums are the
    same. turned: for each layer whose top-down pass oneDNN computes as a convolution (stride 1, on a processor), its
    filters turned by 180°; else None. packed: `weights` in oneDNN's order; see `with_packed_weights`.
    """

    net: GenerativeConvNet
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    strides: tuple[int, ...]
    category_weights: Tensor | None
    channel_alignment: int
    turned: tuple[Tensor | None, ...]
    packed: "tuple[_PackedWeights, ...] | None" = None

    @classmethod
    def of(cls, net: GenerativeConvNet, dtype: torch.dtype, channel_alignment: int = 1) -> "BlockedNet":
        """Copy the present weights of `net`, converted to `dtype`."""
        first, *others = (weight.detach() for weight in net.weights)
        weights = (filters_to_blocks(first, net.strides[0]), *others)
        alignments = [channel_alignment] * len(weights)
        if net.has_top_filter:
            alignments[-1] = 1  # the one unit of an object
        padded = [
            (_pad_to_multiples(weight, of_filters, channel_alignment), _pad_to_multiples(bias.detach(), of_filters))
            for weight, bias, of_filters in zip(weights, net.biases, alignments, strict=True)
        ]
        category: Tensor | None = None
        if net.category_weights is not None:
            category = _pad_to_multiples(net.category_weights.detach(), channel_alignment).to(dtype)[:, None, None]
        weights = tuple(weight.to(dtype, memory_format=torch.channels_last) for weight, _ in padded)
        strides = (1, *net.strides[1:])
        turned = [turned_filters(one, stride) for one, stride in zip(weights, strides, strict=True)]
        if turned[0] is not None:  # the pixels of a block; those beyond are cut off in `chunk_basis`
            turned[0] = _pad_to_multiples(turned[0], VECTOR)
        return cls(
            net,
            weights,
            tuple(bias.to(dtype) for _, bias in padded),
            strides,
            category,
            channel_alignment,
            tuple(turned),
        )

    def with_packed_weights(self, layout: Layout, count: int) -> "BlockedNet":
        """Return this net with its weights in oneDNN's order, so that oneDNN need not reorder them in every pass.

        The order is chosen for chunks of `count` pictures of this layout; other chunks are computed too, only slower.
        """
        packed, size = [], layout.extended
        for weight, stride, turned in zip(self.weights, self.strides, self.turned, strict=True):
            if not self._is_fused(weight, size):
                return self
            filters, channels, kernel, _ = weight.shape
            rows, columns = ((side - kernel) // stride + 1 for side in size)
            down: Tensor | None = None
            with serial_if_small(weight):
                up = packed_filters(weight, 0, stride, (count, channels, *size))
                if turned is not None and kernel <= min(rows, columns):
                    down = packed_filters(turned, kernel - 1, 1, (count, filters, rows, columns))
            packed.append(_PackedWeights(up, down))
            size = rows, columns
        return replace(self, packed=tuple(packed))

    def clone(self) -> "BlockedNet":
        """Return a copy that shares no memory with this one."""
        weights, biases = (tuple(value.clone() for value in values) for values in (self.weights, self.biases))
        category = None if self.category_weights is None else self.category_weights.clone()
        turned = tuple(None if value is None else value.clone() for value in self.turned)
        return replace(self, weights=weights, biases=biases, category_weights=category, turned=turned)

    def copy_(self, other: "BlockedNet") -> None:
        """Overwrite these weights with those of another net of the same shape, in place."""
        for mine, theirs in zip(self._tensors, other._tensors, strict=True):
            mine.copy_(theirs)

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        others = (self.category_weights, *self.turned)
        return (*self.weights, *self.biases, *(value for value in others if value is not None))

    def feature_maps(self, extended: Tensor) -> list[Tensor]:
        """Return [F^(l) * I], l = 1.. (eq. 1), for what the filters see (N, C s², extended)."""
        maps: list[Tensor] = []
        for index, (weight, bias, stride) in enumerate(zip(self.weights, self.biases, self.strides, strict=True)):
            below = maps[-1] if maps else extended
            if self._is_fused(weight, below.shape[2:]):
                up = self.packed[index].up if self.packed else weight
                maps.append(fused_convolution(below, up, bias, 0, stride, "relu"))
            elif self.turned[index] is not None:
                maps.append(functional.relu_(convolution(below, weight, bias, 0)))
            else:
                maps.append(functional.relu_(convolve(below, weight, bias, stride)))
        return maps

    def basis(self, blocks: Tensor, layout: Layout) -> Tensor:
        """Return B (eq. 16) of pictures in blocks (N, C s², blocks), of the same shape."""
        chunks = self.chunks(blocks, layout)
        if len(chunks) == 1:
            return self.chunk_basis(blocks, layout)
        found = torch.empty_like(blocks)
        parallel_map(
            lambda chunk, into: into.copy_(self.chunk_basis(chunk, layout)), chunks, self.chunks(found, layout)
        )
        return found

    def gradients(self, batches: Sequence[tuple[Tensor, Layout, Tensor | None]]) -> list[ScoreGradient]:
        """Return ∂f/∂w of each batch: in the top-down pass, a layer's input correlated with its coefficients (eq. 21).

        A batch is pictures in blocks, their layout, and which positions count (see `core.engine.Engine.gradient`). The
        chunks of all batches are computed side by side.
        """
        layouts: list[Layout] = []
        chunks: list[Tensor] = []
        counts: list[Tensor | None] = []
        ends: list[int] = []
        for blocks, layout, counted in batches:
            of_batch = self.chunks(blocks, layout)
            layouts += [layout] * len(of_batch)
            chunks += of_batch
            counts += [None] * len(of_batch) if counted is None else counted.tensor_split(len(of_batch))
            ends.append(len(chunks))
        if self.weights[0].is_cuda:
            sums = list(map(self._chunk_gradient, layouts, chunks, counts))
        else:  # one thread each, because the order of a sum depends on their number
            sums = parallel_map(self._chunk_gradient, layouts, chunks, counts, threads_each=1)
        with serial_if_small(max(self.weights, key=Tensor.numel)):
            return [
                self._per_position(functools.reduce(_ChunkSums.plus, sums[first:end]))
                for first, end in pairwise([0, *ends])
            ]

    def chunks(self, pictures: Tensor, layout: Layout) -> tuple[Tensor, ...]:
        """Split pictures (N, ...) along N into the chunks that are computed at once: a single one on a GPU.

        On the processor a chunk's maps fit its caches and reuse freed memory, which larger maps would get from the
        system page by page, and there is a chunk for each of several threads. The split does not depend on the number
        of threads, because B of a picture may round differently in a chunk of another size.
        """
        if pictures.is_cuda:
            return (pictures,)
        picture_bytes = max(map(len, self.biases)) * math.prod(layout.blocks) * self.biases[0].element_size()
        chunk_size = max(1, CHUNK_MAP_BYTES // picture_bytes)
        return pictures.tensor_split(max(min(MIN_CHUNKS, len(pictures)), math.ceil(len(pictures) / chunk_size)))

    def chunk_basis(self, blocks: Tensor, layout: Layout) -> Tensor:
        """Compute B for one chunk of pictures; see `basis`. Several threads compute a band of its rows each."""
        with serial_if_small(blocks):
            extended = self._extended(blocks, layout)

        def of_rows(first: int, end: int) -> Tensor:
            """Compute B of some rows from all units that see them."""
            units = slice(max(0, first - self._halo), min(end, len(extended[0, 0]) - self._halo))
            band = extended[:, :, units.start : units.stop + self._halo]
            found = self._extended_basis(band)
            return found[:, :, first - units.start : end - units.start]

        if self._is_split:
            edges = self._band_edges(len(extended[0, 0]))
            bands = parallel_map(of_rows, edges[:-1], edges[1:], threads_each=1)
        else:
            bands = [self._extended_basis(extended)]
        with serial_if_small(blocks):
            basis = bands[0] if len(bands) == 1 else torch.cat(bands, dim=2)
            return layout.fold_back(basis[:, : blocks.shape[1]])

    def _extended_basis(self, extended: Tensor) -> Tensor:
        """Compute B for what the filters see (N, C s², extended), of the same shape."""
        maps = self.feature_maps(extended)
        coefficients = self._top_coefficients(maps[-1])
        for index in reversed(range(1, len(maps))):
            coefficients = self._coefficients_below(coefficients, maps, index)
        return self._deconvolve(coefficients, 0, extended.shape[-2:])

    @property
    def _is_split(self) -> bool:
        """True if a picture can be computed in bands: on a processor, if only the first layer has a stride."""
        return all(turned is not None for turned in self.turned)

    @property
    def _halo(self) -> int:
        """Rows of blocks by which what a unit sees is larger than one block, if only the first layer has a stride."""
        return sum(weight.shape[-2] - 1 for weight in self.weights)

    def _band_edges(self, rows: int) -> list[int]:
        """Return where the bands begin whose B this thread's threads compute side by side, and `rows`.

        B of a row is the same to the bit in any band: on one thread oneDNN adds the products of an output in an order
        that does not depend on the number of rows (on that of columns it does). So the number of bands may follow the
        number of threads, and a single thread computes nothing twice.
        """
        count = max(1, min(torch.get_num_threads(), rows // max(1, MIN_BAND_HALOS * self._halo)))
        return [rows * band // count for band in range(count + 1)]

    def _chunk_gradient(self, layout: Layout, blocks: Tensor, counted: Tensor | None) -> "_ChunkSums":
        """Compute the sums of `gradients` for one chunk of pictures."""
        extended = self._extended(blocks, layout)
        maps = self.feature_maps(extended)
        active = tuple(_count_active(layer) for layer in maps)
        if counted is not None:
            maps[-1] = maps[-1] * counted
        coefficients = self._top_coefficients(maps[-1])
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        for index in reversed(range(len(maps))):
            of_weights, of_biases = self._layer_gradient(index, maps[index - 1] if index else extended, coefficients)
            weights.insert(0, of_weights)
            biases.insert(0, of_biases)
            if index:
                coefficients = self._coefficients_below(coefficients, maps, index)
        top = maps[-1].sum(dim=(0, 2, 3), dtype=self.net.biases[-1].dtype)[: len(self.net.biases[-1])]
        return _ChunkSums(
            weights=tuple(weights),
            biases=tuple(biases),
            top=top,
            positions=len(blocks) * positions(maps) if counted is None else int(counted.sum()),
            active=active,
            units=tuple(layer[:, 0].numel() * len(bias) for layer, bias in zip(maps, self.net.biases, strict=True)),
        )

    def _extended(self, blocks: Tensor, layout: Layout) -> Tensor:
        extended = layout.extend(blocks, self.weights[0].dtype)
        missing = -blocks.shape[1] % self.channel_alignment
        return functional.pad(extended, (0, 0, 0, 0, 0, missing)) if missing else extended

    def _top_coefficients(self, top_maps: Tensor) -> Tensor:
        """Return B^(L) ∘ δ^(L); see `core.theory.decoding.top_coefficients`."""
        active = top_maps.sign()  # no element is negative
        return active if self.category_weights is None else active * self.category_weights

    def _coefficients_below(self, coefficients: Tensor, maps: Sequence[Tensor], index: int) -> Tensor:
        """Return the coefficients of the layer below layer `index`, with its inactive units masked."""
        below = maps[index - 1]
        spread = self._deconvolve(coefficients, index, below.shape[-2:])
        masked: Tensor = torch.ops.aten.threshold_backward.grad_input(spread, below, 0, grad_input=spread)
        return masked

    def _deconvolve(self, coefficients: Tensor, index: int, size: torch.Size) -> Tensor:
        """Apply the transpose of a layer's convolution to `coefficients` -> maps of `size` (height, width)."""
        down = self.packed[index].down if self.packed else None
        turned, padding = self.turned[index], self.weights[index].shape[-1] - 1
        if down is not None:
            return fused_convolution(coefficients, down, None, padding, 1, "none")
        if turned is not None and padding < min(coefficients.shape[-2:]):
            return convolution(coefficients, turned, None, padding)
        return deconvolve(coefficients, self.weights[index], self.strides[index], size)

    def _is_fused(self, weight: Tensor, size: Sequence[int]) -> bool:
        """True if the convolution of maps of `size` (height, width) and its ReLU are one pass over them.

        Not in float32 if a filter covers the whole map (core/engine/README.md).
        """
        if weight.is_cuda or not has_fused_convolution(weight.dtype):
            return False
        return weight.dtype is torch.bfloat16 or all(map(operator.lt, weight.shape[-2:], size))

    def _layer_gradient(self, index: int, below: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of a layer's weights and of its biases, in the shapes of the net's own."""
        gradient, sums = layer_gradient(below, coefficients, self.weights[index], self.strides[index])
        own = self.net.weights[index]
        filters, channels = own.shape[:2]
        gradient, sums = (found.to(own.dtype)[:filters] for found in (gradient, sums))
        if index:
            return gradient[:, :channels], sums
        first = self.net.architecture.layers[0]
        return filters_from_blocks(gradient[:, : channels * first.stride**2], first.stride, first.kernel_size), sums

    def _per_position(self, sums: "_ChunkSums") -> ScoreGradient:
        """Order the gradients as `net.parameters()` and divide by the number of pictures times positions."""
        net = self.net
        of_layers = zip([*net.weights, *net.biases], [*sums.weights, *sums.biases], strict=True)
        found = {id(parameter): gradient for parameter, gradient in of_layers}
        total = sums.top.sum()
        if net.category_weights is not None:
            found[id(net.category_weights)] = sums.top
            total = sums.top @ net.category_weights
        return ScoreGradient(
            score=total.item() / sums.positions,
            parameters=tuple(found[id(parameter)] / sums.positions for parameter in net.parameters()),
            active_share=tuple(active / units for active, units in zip(sums.active, sums.units, strict=True)),
        )


@dataclass(frozen=True)
class _PackedWeights:
    """A layer's weights in oneDNN's order. down: for the top-down pass; None if that is no plain convolution."""

    up: Tensor
    down: Tensor | None


@dataclass(frozen=True)
class _ChunkSums:
    """Sums over a chunk's pictures and positions: gradients, top maps, active units; and the number of all units."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    top: Tensor
    positions: int
    active: tuple[int, ...]
    units: tuple[int, ...]

    def plus(self, other: "_ChunkSums") -> "_ChunkSums":
        """Return the sums over the pictures of both."""
        return _ChunkSums(
            weights=tuple(map(torch.add, self.weights, other.weights)),
            biases=tuple(map(torch.add, self.biases, other.biases)),
            top=self.top + other.top,
            positions=self.positions + other.positions,
            active=tuple(map(operator.add, self.active, other.active)),
            units=tuple(map(operator.add, self.units, other.units)),
        )


def _count_active(layer: Tensor) -> int:
    """Return how many units of a layer are above zero; after the ReLU none is below.

    A positive number is not zero if its bits are read as an integer, and integers are counted 14 to 24 times as fast.
    """
    return int(torch.count_nonzero(layer.view(INTEGER_TYPES[layer.element_size()])))


def _pad_to_multiples(values: Tensor, *multiples: int) -> Tensor:
    """Pad with zeros so that the sizes of the first dimensions are multiples of `multiples`."""
    for dim, multiple in enumerate(multiples):
        missing = -values.shape[dim] % multiple
        if missing:
            values = functional.pad(values, (0, 0) * (values.ndim - 1 - dim) + (0, missing))
    return values
