"""What jobs say of pictures of another size or other proportions than what is drawn, and of transparent ones."""

from PIL import Image
from support.finished_models import SIZE, add_model, noise_png
from support.pictures import encoded, png, with_hole
from support.training_jobs import training
from support.worker_harness import WorkerHarness

from core.jobs.requests import NewJob
from core.recipe.presets import PRESETS
from core.schemas.jobs import JobKind
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams
from core.schemas.reconstruction import ReconstructParams
from core.schemas.sampling import ResolvedSampleParams
from core.storage import datasets
from worker.picture_warnings import FEW_OF_OBJECT, find_enlarged, find_few


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


def test_a_job_says_that_its_guide_has_far_more_contrast_than_the_model(harness: WorkerHarness) -> None:
    model_id, _ = add_model(harness)

    def said(levels: int, strength: float) -> list[str]:
        halves = Image.new("L", (SIZE, SIZE), 120 - levels)
        halves.paste(120 + levels, (0, 0, SIZE // 2, SIZE))
        asked = {"count": 1, "width": SIZE, "height": SIZE, "steps": 1, "step_size": 0.8, "seed": 7}
        guide = {"guide_dataset_id": harness.add_dataset(a=encoded(halves, "PNG")), "guide_strength": strength}
        params = ResolvedSampleParams.model_validate({**asked, **guide}).model_dump()
        job = harness.work(NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id))
        return list(job.metrics.get("remarks", []))

    assert said(60, 0.1) == said(100, 0.0) == []
    (far,) = said(100, 0.1)
    assert far.startswith("the guide picture has 2.5 times the contrast of what the model draws: structure fades")
    assert far.endswith("; a fainter guide or a guide_strength of 0.05 may help")
    assert said(100, 0.05)[0].endswith("; a fainter guide may help")


def test_a_training_says_from_its_start_which_pictures_are_enlarged(harness: WorkerHarness) -> None:
    def said(*sizes: tuple[int, int]) -> list[str]:
        dataset_id = harness.add_dataset(**{f"p{index}": png(*size) for index, size in enumerate(sizes)})
        rows = datasets.find(harness.database, dataset_id).images
        return find_enlarged(rows, LearningParams(image_size=40, layers=[LayerParams(filters=4, kernel_size=5)]))

    assert said((40, 33), (100, 33)) == []
    (one,) = said((64, 20), (40, 40))
    enlarged = "the picture p0.png (64 x 20) is enlarged 2.0 times, to an image_size of 40, and learned blurred"
    assert one == f"{enlarged}: an image_size of 20 enlarges nothing"
    (several,) = said((32, 32), (20, 20), (31, 50), (10, 40))
    named = "the pictures p0.png (32 x 32), p1.png (20 x 20), p2.png (31 x 50) and 1 more are enlarged up to 4.0 times"
    assert several.startswith(named)
    assert several.endswith("to an image_size of 40, and learned blurred"), "10 is no image_size"
    job = harness.work(training(harness.add_dataset(small=png(8, 8))))
    assert job.metrics["remarks"][0].startswith("the picture small.png (8 x 8) is enlarged 2.0 times")


def test_a_training_says_if_there_are_too_few_pictures_of_an_object(harness: WorkerHarness) -> None:
    def said(count: int, preset: str = "object-cpu") -> list[str]:
        dataset_id = harness.add_dataset(**{f"p{index}": png(96, 96) for index in range(count)})
        return find_few(datasets.find(harness.database, dataset_id).images, PRESETS[preset])

    assert said(1, "quick") == said(FEW_OF_OBJECT) == []
    assert said(1)[0].endswith("; there is only 1: what the model draws is near it")
    assert said(FEW_OF_OBJECT - 1)[0].endswith("; there are only 4")
    layers = [LayerParams(filters=4, kernel_size=5)]
    job = harness.work(training(harness.add_dataset(a=png(32, 32)), top="object", boundary="padded", layers=layers))
    assert [one for one in job.metrics["remarks"] if "there is only 1" in one]


def test_a_size_is_advised_only_if_it_can_be_learned_with_the_other_settings(harness: WorkerHarness) -> None:
    def said(side: int, **changes: object) -> str:
        rows = datasets.find(harness.database, harness.add_dataset(a=png(side, side))).images
        (found,) = find_enlarged(rows, PRESETS["photo"].model_copy(update=changes))
        return found

    assert said(130).endswith("and learned blurred: an image_size of 130 enlarges nothing")
    assert said(100).endswith("to an image_size of 512, and learned blurred"), "its patch_size is 128"
    assert said(100, patch_size=96).endswith("an image_size of 100 enlarges nothing")


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
