"""The net in blocks: its bottom-up and top-down passes on what `core.engine.layout` lays out, without autograd."""

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.interface import ScoreGradient
from core.engine.layout import Layout, filters_from_blocks, filters_to_blocks
from core.engine.parallel import each
from core.theory.decoding import deconvolve
from core.theory.model import GenerativeConvNet, convolve, positions

AT_ONCE_BYTES = 5 << 20  # of a layer's maps on the processor
PARTS = 4  # at least, where there are so many pictures
WHOLE_NUMBERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes


@dataclass(frozen=True)
class BlockedNet:
    """A net's weights as they stand, for one kind of arithmetic: the first layer's in blocks, with stride 1.

    Channels, of the picture and of every layer but an object's top, are filled up with zeros to multiples of `lanes`.
    Filters of zeros fire nowhere, and what is not there weighs nothing: the sums are the same.
    """

    net: GenerativeConvNet
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    strides: tuple[int, ...]
    category_weights: Tensor | None
    lanes: int
    ready: "tuple[_PackedWeights, ...] | None" = None

    @classmethod
    def of(cls, net: GenerativeConvNet, dtype: torch.dtype, lanes: int = 1) -> "BlockedNet":
        first, *others = (weight.detach() for weight in net.weights)
        weights = (filters_to_blocks(first, net.strides[0]), *others)
        filters = [lanes] * len(weights)
        if net.has_top_filter:
            filters[-1] = 1  # the one unit of an object
        each = zip(weights, net.biases, filters, strict=True)
        filled = [(_filled(weight, of, lanes), _filled(bias.detach(), of)) for weight, bias, of in each]
        category = net.category_weights
        return cls(
            net,
            tuple(weight.to(dtype, memory_format=torch.channels_last) for weight, _ in filled),
            tuple(bias.to(dtype) for _, bias in filled),
            (1, *net.strides[1:]),
            None if category is None else _filled(category.detach(), lanes).to(dtype)[:, None, None],
            lanes,
        )

    def with_packed_weights(self, layout: Layout, count: int) -> "BlockedNet":
        """With weights as the processor's library wants them, which for every pass it would lay out anew.

        Only a hint: for parts of `count` pictures of this layout.
        """
        if not self._is_fused:
            return self
        ready, size = [], layout.seen
        for weight, stride in zip(self.weights, self.strides, strict=True):
            filters, channels, kernel, _ = weight.shape
            rows, columns = ((side - kernel) // stride + 1 for side in size)
            up = _laid_out(weight, 0, stride, (count, channels, *size))
            # A transposed convolution is a convolution with the filters turned by 180°: the same products.
            turned = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
            easy = stride == 1 and kernel <= min(rows, columns)
            down = _laid_out(turned, kernel - 1, 1, (count, filters, rows, columns)) if easy else None
            ready.append(_PackedWeights(up, down))
            size = rows, columns
        return replace(self, ready=tuple(ready))

    def clone(self) -> "BlockedNet":
        """The like, in memory of its own."""
        weights, biases = (tuple(value.clone() for value in values) for values in (self.weights, self.biases))
        category = None if self.category_weights is None else self.category_weights.clone()
        return replace(self, weights=weights, biases=biases, category_weights=category)

    def copy_(self, other: "BlockedNet") -> None:
        """Take over the weights of another of the same shape, in place."""
        for mine, theirs in zip(self._tensors, other._tensors, strict=True):
            mine.copy_(theirs)

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        category = () if self.category_weights is None else (self.category_weights,)
        return (*self.weights, *self.biases, *category)

    def feature_maps(self, extended: Tensor) -> list[Tensor]:
        """[F^(l) * I], l = 1.. (eq. 1), from what the filters see (N, C s², seen)."""
        maps: list[Tensor] = []
        for index, (weight, bias, stride) in enumerate(zip(self.weights, self.biases, self.strides, strict=True)):
            below = maps[-1] if maps else extended
            if self._is_fused:
                maps.append(_convolved(below, self.ready[index].up if self.ready else weight, bias, 0, stride, "relu"))
            else:
                maps.append(functional.relu_(convolve(below, weight, bias, stride)))
        return maps

    def basis(self, blocks: Tensor, layout: Layout) -> Tensor:
        """B (eq. 16) of pictures in blocks (N, C s², blocks), of the same shape."""
        parts = self.parts(blocks, layout)
        if len(parts) == 1:
            return self.basis_of_chunk(blocks, layout)
        found = torch.empty_like(blocks)
        each(lambda part, pull: pull.copy_(self.basis_of_chunk(part, layout)), parts, self.parts(found, layout))
        return found

    def gradient(self, blocks: Tensor, layout: Layout) -> ScoreGradient:
        """∂f/∂w: on the way down, each layer's map beneath correlated with its coefficients (eq. 21)."""
        found = each(lambda part: self._sums(part, layout), self.parts(blocks, layout))
        return self._per_position(functools.reduce(_Sums.plus, found))

    def parts(self, pictures: Tensor, layout: Layout) -> tuple[Tensor, ...]:
        """A few pictures (N, ...) at a time on the processor: so many that their maps stay in its caches and are freed
        to be used again, where larger ones come from the system page by page; so few that there is a part for each of
        several threads. Whatever the threads: how many are beside a picture may round its B otherwise.
        """
        if pictures.is_cuda:
            return (pictures,)
        bytes_of_one = max(map(len, self.biases)) * math.prod(layout.blocks) * self.biases[0].element_size()
        at_once = max(1, AT_ONCE_BYTES // bytes_of_one)
        return pictures.tensor_split(max(min(PARTS, len(pictures)), math.ceil(len(pictures) / at_once)))

    def basis_of_chunk(self, blocks: Tensor, layout: Layout) -> Tensor:
        """The same, of a part."""
        extended = self._extended(blocks, layout)
        maps = self.feature_maps(extended)
        coefficients = self._top(maps[-1])
        for index in reversed(range(1, len(maps))):
            coefficients = self._below(coefficients, maps, index)
        drawn = self._spread(coefficients, 0, extended.shape[-2:])
        return layout.fold_back(drawn[:, : blocks.shape[1]])

    def _sums(self, blocks: Tensor, layout: Layout) -> "_Sums":
        extended = self._extended(blocks, layout)
        maps = self.feature_maps(extended)
        coefficients = self._top(maps[-1])
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        for index in reversed(range(len(maps))):
            of_weights, of_biases = self._layer_gradient(index, maps[index - 1] if index else extended, coefficients)
            weights.insert(0, of_weights)
            biases.insert(0, of_biases)
            if index:
                coefficients = self._below(coefficients, maps, index)
        top = maps[-1].sum(dim=(0, 2, 3), dtype=self.net.biases[-1].dtype)[: len(self.net.biases[-1])]
        return _Sums(
            weights=tuple(weights),
            biases=tuple(biases),
            top=top,
            positions=len(blocks) * positions(maps),
            active=tuple(_active(layer) for layer in maps),
            units=tuple(layer[:, 0].numel() * len(bias) for layer, bias in zip(maps, self.net.biases, strict=True)),
        )

    def _extended(self, blocks: Tensor, layout: Layout) -> Tensor:
        extended = layout.extend(blocks, self.weights[0].dtype)
        missing = -blocks.shape[1] % self.lanes
        return functional.pad(extended, (0, 0, 0, 0, 0, missing)) if missing else extended

    def _top(self, top_maps: Tensor) -> Tensor:
        """B^(L) ∘ δ^(L), as `core.theory.decoding.top_coefficients`."""
        active = top_maps.sign()  # of what is nowhere negative
        return active if self.category_weights is None else active * self.category_weights

    def _below(self, coefficients: Tensor, maps: Sequence[Tensor], index: int) -> Tensor:
        """From a layer's coefficients to those of the layer beneath, its inactive units masked."""
        below = maps[index - 1]
        spread = self._spread(coefficients, index, below.shape[-2:])
        masked: Tensor = torch.ops.aten.threshold_backward(spread, below, 0)
        return masked

    def _spread(self, coefficients: Tensor, index: int, size: torch.Size) -> Tensor:
        """What a layer's filters draw with these coefficients, of `size` (height, width)."""
        down = self.ready[index].down if self.ready else None
        if down is None:
            return deconvolve(coefficients, self.weights[index], self.strides[index], size)
        return _convolved(coefficients, down, None, self.weights[index].shape[-1] - 1, 1, "none")

    @property
    def _is_fused(self) -> bool:
        """Whether a convolution and its ReLU are one pass over the maps."""
        return self.weights[0].dtype is torch.bfloat16 and not self.weights[0].is_cuda and _fuses()

    def _layer_gradient(self, index: int, below: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Of a layer's weights and of its biases."""
        weight, stride = self.weights[index], self.strides[index]
        sides, filled = ([stride] * 2, [0, 0], [1, 1], False, [0, 0], 1), [len(weight)]
        _, gradient, sums = torch.ops.aten.convolution_backward(
            coefficients, below, weight, filled, *sides, [False, True, True]
        )
        filters, channels = self.net.weights[index].shape[:2]
        gradient, sums = (found.to(self.net.weights[index].dtype)[:filters] for found in (gradient, sums))
        if index:
            return gradient[:, :channels], sums
        first = self.net.architecture.layers[0]
        return filters_from_blocks(gradient[:, : channels * first.stride**2], first.stride, first.kernel_size), sums

    def _per_position(self, sums: "_Sums") -> ScoreGradient:
        """In the order of `net.parameters()`, and divided by the pictures and the positions that were summed over."""
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
            active_share=tuple(active / every for active, every in zip(sums.active, sums.units, strict=True)),
        )


@dataclass(frozen=True)
class _PackedWeights:
    """A layer's weights laid out for oneDNN: bottom-up, and top-down where that is a plain convolution."""

    up: Tensor
    down: Tensor | None


@dataclass(frozen=True)
class _Sums:
    """Over pictures and positions: the gradients of a net's weights and biases, its top maps, its active units."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    top: Tensor
    positions: int
    active: tuple[int, ...]
    units: tuple[int, ...]

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            weights=tuple(map(torch.add, self.weights, other.weights)),
            biases=tuple(map(torch.add, self.biases, other.biases)),
            top=self.top + other.top,
            positions=self.positions + other.positions,
            active=tuple(map(operator.add, self.active, other.active)),
            units=tuple(map(operator.add, self.units, other.units)),
        )


def _convolved(below: Tensor, weight: Tensor, bias: Tensor | None, padding: int, stride: int, then: str) -> Tensor:
    """A convolution and what follows it, by oneDNN: which PyTorch has for its compiler, and promises to nobody else."""
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(
        below, weight, bias, [padding] * 2, [stride] * 2, [1, 1], 1, then, [], ""
    )
    return found


def _laid_out(weight: Tensor, padding: int, stride: int, shape: tuple[int, ...]) -> Tensor:
    """Opaque: a weight in oneDNN's own order, for pictures of `shape`."""
    found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, [padding] * 2, [stride] * 2, [1, 1], 1, list(shape)
    )
    return found


@functools.cache
def _fuses() -> bool:
    names = ("_convolution_pointwise", "_reorder_convolution_weight", "_is_mkldnn_bf16_supported")
    return all(hasattr(torch.ops.mkldnn, name) for name in names) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _active(layer: Tensor) -> int:
    """How many units of a layer fire. Where nothing is negative, their bits as whole numbers say so, and are counted
    fourteen to twenty-four times as fast.
    """
    return int(torch.count_nonzero(layer.view(WHOLE_NUMBERS[layer.element_size()])))


def _filled(values: Tensor, *multiples: int) -> Tensor:
    """Filled up with zeros, so that the sides of its first dimensions are `multiples` of these."""
    for dim, multiple in enumerate(multiples):
        missing = -values.shape[dim] % multiple
        if missing:
            values = functional.pad(values, (0, 0) * (values.ndim - 1 - dim) + (0, missing))
    return values
