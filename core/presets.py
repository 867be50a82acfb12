"""Named settings (sec. 7). No torch here: the API lists them."""

from core.contracts.learning import LayerParams, LearningParams

_EXPERIMENT_1_LAYERS = (
    LayerParams(filters=100, kernel_size=15, stride=3),
    LayerParams(filters=64, kernel_size=5),
    LayerParams(filters=30, kernel_size=3),
)

PRESETS: dict[str, LearningParams] = {
    # Experiment 1 as printed: 224 x 224 pixels, 16 chains, L = 10, T = 700 for each of three layers, σ = 1.
    "texture": LearningParams(
        image_size=224, layers=_EXPERIMENT_1_LAYERS, num_chains=16, langevin_steps=10, iterations=700
    ),
    # A first run: about a minute on two cores. The recipe is docs/decisions/0001-learning-recipe.md.
    "quick": LearningParams(
        image_size=96,
        layers=(LayerParams(filters=48, kernel_size=9, stride=3), LayerParams(filters=48, kernel_size=5)),
        layerwise=False,
        num_chains=3,
        langevin_steps=5,
        reference_std=8.0,
        contrast=50.0,
        picture_noise=8.0,
        step_size=4.0,
        iterations=500,
        learning_rate=1e-3,
    ),
}

DESCRIPTIONS: dict[str, str] = {
    "texture": "Experiment 1 of the paper at its full size. For a GPU, or for a night on a processor.",
    "quick": "A first look at what can be learned from a texture: about a minute on two cores.",
}
