"""What jobs say of pictures of another size or other proportions than what is drawn, and of transparent ones."""

from support.finished_models import SIZE, add_model, noise_png
from support.pictures import png, with_hole
from support.worker_harness import WorkerHarness

from core.jobs.requests import NewJob
from core.schemas.jobs import JobKind
from core.schemas.reconstruction import ReconstructParams
from core.schemas.sampling import ResolvedSampleParams


def test_a_job_says_what_is_cut_off_and_what_is_enlarged(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness)
    (other, _), (fitting, wide, small, tall) = (
        add_model(harness, seed=4),
        (harness.add_dataset(a=content) for content in (noise_png(1), png(32, 16), png(8, 8), png(8, 32))),
    )

    def said(**given: object) -> list[str] | None:
        asked = {"count": 1, "width": SIZE, "height": SIZE, "steps": 1, "step_size": 0.8, "seed": 7, **given}
        params = ResolvedSampleParams.model_validate(asked).model_dump()
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id, model_ids=(other,)))
        found: list[str] | None = job.metrics.get("remarks")
        return found

    assert said(start_dataset_id=fitting, start_strength=0.5) is None
    proportions = "has other proportions than what is drawn, 16 x 16: its middle is used, and"
    assert said(start_dataset_id=wide, start_strength=0.5, guide_dataset_id=small, guide_strength=0.1) == [
        f"the start picture {proportions} 50% of it, at its left and right, is cut off",
        "the guide picture is enlarged 2.0 times, from 8 x 8",
    ]
    assert said(blend=[{"model_id": other, "mask_dataset_id": tall}]) == [
        f"the mask of model 1 of blend {proportions} 75% of it, at its top and bottom, is cut off"
    ]
    holed, opaque, off_centre = (
        harness.add_dataset(a=with_hole(width, SIZE, hole=(0, 0, side, side), grey=True))
        for width, side in ((SIZE, 4), (SIZE, 0), (2 * SIZE, 4))
    )
    assert said(guide_dataset_id=opaque, guide_strength=0.1) is None
    assert said(guide_dataset_id=holed, guide_strength=0.1) == [
        "the guide picture is transparent in parts, which count as white"
    ]
    assert said(blend=[{"model_id": other, "mask_dataset_id": holed}]) is None
    (cut_off,) = said(guide_dataset_id=off_centre, guide_strength=0.1) or ()
    assert "is cut off" in cut_off


def test_a_reconstruction_names_the_transparent_pictures(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness)
    holed = with_hole(SIZE, SIZE, hole=(0, 0, 4, 4), grey=True)

    def said(**contents: bytes) -> list[str]:
        asked = NewJob(
            kind=JobKind.RECONSTRUCT,
            params=ReconstructParams().model_dump(),
            model_id=model_id,
            dataset_id=harness.add_dataset(**contents),
        )
        found: list[str] = harness.work(asked).metrics["remarks"]
        return found

    off_centre = with_hole(2 * SIZE, SIZE, hole=(0, 0, 4, 4), grey=True)
    assert said(a=noise_png(1), b=off_centre) == []
    assert said(a=noise_png(1), b=holed) == ["transparent parts count as white, in b.png"]
    many = said(a=holed, b=holed, c=noise_png(1), d=holed, e=holed, f=holed)
    assert many == ["transparent parts count as white, in a.png, b.png, d.png and 2 more"]
