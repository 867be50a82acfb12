"""What a condition costs: a Langevin step under it, beside the same step without.

    python benchmarks/conditions.py [--side 510] [--threads N] [--precision auto] [--turns 10]

Known pixels, a guide and a blend of two models, each half of the picture, all in one run and taking turns. A blend
computes B of both models, on what is seen of each and around it; its row says so. Prints a table.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import torch
from report import markdown_table
from timing import describe_machine, median_seconds
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.dynamics import Dynamics
from core.recipe.presets import PRESETS
from core.synthesis.blend_weights import strengths
from core.synthesis.blending import Agreement, Blend, Expert
from core.synthesis.conditions import Guide, KnownPixels, run_steps, run_under_conditions
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

STEPS = 5
DYNAMICS = Dynamics(6.0, "torus", random_lattice=True)
GUIDE_STRENGTH, GUIDE_BLUR = 0.1, 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=510, help="pixels along each side, a multiple of 3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--turns", type=int, default=10)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device("cpu")
    engine = choose_engine(options.precision, device)
    seconds = median_seconds(tasks(engine, options.side), options.turns, device)
    plain = seconds["no condition"]
    rows = [(name, f"{1000 * taken / STEPS:.1f}", f"{taken / plain:.2f}") for name, taken in seconds.items()]
    sys.stdout.write(f"{describe_machine(device)}, {engine.precision}, {options.side} x {options.side} pixels\n\n")
    sys.stdout.write(markdown_table(("a step under", "ms", "to a step under none"), rows))


def tasks(engine: Engine, side: int) -> dict[str, partial[Tensor]]:
    """Return STEPS steps under each condition, of the net of `texture-cpu`."""
    net, other = (GenerativeConvNet(architecture_of(PRESETS["texture-cpu"], 3), seeded(seed)) for seed in (1, 2))
    sigma = net.architecture.reference_std
    image = 30 * torch.randn(1, 3, side, side, generator=seeded(3))
    known = KnownPixels(image, (torch.arange(side) < side // 2).expand(1, 1, side, side))
    guide = Guide(image, GUIDE_STRENGTH, sigma, GUIDE_BLUR)
    half = (torch.arange(side) < side // 2).float().expand(1, 1, side, side).clone()
    weights = (half, 1 - half)
    experts = tuple(
        Expert(one, 1.0, weight, strengths(weight), random_lattice=True)
        for one, weight in zip((net, other), weights, strict=True)
    )
    blend_step = partial(Blend(experts, engine, sigma).step, DYNAMICS.step_size)

    def under(*conditions: KnownPixels | Guide) -> partial[Tensor]:
        return partial(run_under_conditions, engine, net, image, STEPS, DYNAMICS, seeded(4), conditions)

    return {
        "no condition": partial(engine.run, net, image, STEPS, DYNAMICS, seeded(4)),
        "none, every pixel in its place": under(),
        "known pixels": under(known),
        "a guide": under(guide),
        "two models, each half": partial(
            run_steps, blend_step, image.repeat(2, 1, 1, 1), STEPS, DYNAMICS.step_size, seeded(4), (Agreement(experts),)
        ),
    }


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


if __name__ == "__main__":
    main()
