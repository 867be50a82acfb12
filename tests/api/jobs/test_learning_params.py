"""A preset's parameters with those of a request in their place."""

from typing import Any

from support.http import Api, problem


def test_a_refusal_says_what_comes_from_the_preset(api: Api, dataset: str) -> None:
    small = {"kind": "train", "dataset_id": dataset, "preset": "photo"}

    def refused(**params: Any) -> dict[str, str]:
        errors = problem(api.post({**small, "params": params}), 422)["errors"]
        return {error["field"]: error["message"] for error in errors}

    assert refused(image_size=64) == {
        "params.image_size": "must be at least 128 with the preset photo; for smaller pictures choose another preset"
    }
    assert refused(image_size=150, coarse_factor=16)["params.image_size"].startswith("must be at least 361 ")
    assert refused(canvas_iterations=0) == {
        "params.canvas_iterations": "cannot be 0 together with coarse_iterations (600) of the preset photo: "
        "coarse_iterations must be 0 without canvas_iterations: the canvas is what begins as the coarse picture. Set "
        "coarse_iterations too"
    }
    padded = refused(boundary="padded")
    assert list(padded) == ["params.boundary"]
    assert padded["params.boundary"].startswith("cannot be padded together with random_lattice (true) and ")
    assert padded["params.boundary"].endswith(". Set random_lattice and canvas_iterations too")
    both = refused(canvas_iterations=0, coarse_iterations=5, patch_size=None, boundary="valid")
    assert list(both) == ["params.coarse_iterations", "params.boundary"], "what is set itself is wrong itself"
    object_cpu = {**small, "preset": "object-cpu"}
    (error,) = problem(api.post({**object_cpu, "params": {"layerwise": True, "seed": 1}}), 422)["errors"]
    assert error["field"] == "params.layerwise"
    assert error["message"].startswith("cannot be true together with coarse_iterations (250) of the preset object-cpu")
    assert error["message"].endswith(" Set coarse_iterations too")
    assert api.post({**object_cpu, "params": {"layerwise": True, "coarse_iterations": 0}}).status_code == 202
    assert refused(image_size=64, patch_size=128, coarse_iterations=0) == {
        "params.patch_size": "must be at most image_size, 64"
    }


def test_more_iterations_of_a_texture_are_learned_at_a_smaller_rate_unless_one_is_given(api: Api, dataset: str) -> None:
    def rate(**params: Any) -> float:
        job = api.accepted({"kind": "train", "dataset_id": dataset, "preset": "quick", "params": params})
        found: float = job["params"]["learning_rate"]
        return found

    usual = rate()
    assert rate(iterations=100) == usual
    assert rate(iterations=1600) == usual / 4
    assert rate(iterations=1600, learning_rate=usual) == usual
