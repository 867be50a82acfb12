"""Datasets, models and presets: the operations on each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from api.client.answers import parse, parse_page
from api.client.data import Data, Dataset, Model, Preset
from api.client.errors import NotFound
from api.client.files import write_new
from api.client.sans_io import (
    Asynchronous,
    Emit,
    Emits,
    Request,
    Steps,
    Synchronous,
    idempotency_header,
    iteration,
    operation,
    send,
)
from api.client.uploads import Pictures, part_of, upload_of

Item = TypeVar("Item", bound=Data)
PAGE_ITEMS = 100
UPLOAD_SECONDS = 1900.0  # the service may decode the pictures of one upload for 1800 s


def id_of(item: Any) -> str:
    """Return the id of an item, which may be given itself or by its id."""
    return item if isinstance(item, str) else str(item.id)


def in_path(item: Any, what: str) -> str:
    """Return the id of an item as a part of a URL's path. Raises NotFound if the URL would be another's."""
    text = id_of(item)
    if text in ("", ".", ".."):
        raise NotFound(404, f"there is no {what} {text!r}")
    return quote(text, safe="")


def pages_of(show: Callable[[bytes], Item], path: str, params: dict[str, Any]) -> Emits[Item]:
    """Emit all items of a listing, page by page. show: returns an item from its JSON."""
    after: str | None = None
    while True:
        query = {**params, "limit": PAGE_ITEMS, **({"after": after} if after else {})}
        items, after = parse_page(show, (yield from send(Request("GET", path, params=query))))
        for item in items:
            yield Emit(item)
        if after is None:
            return


def delete(path: str) -> Steps[None]:
    yield from send(Request("DELETE", path, idempotent=False))  # sent twice, the second would be answered with 404


class _Resource:
    def __init__(self, runner: Any) -> None:
        self._runner = runner


class _Datasets(_Resource):
    @operation
    def create(
        self, pictures: Pictures, /, name: str | None = None, *, idempotency_key: str | None = None
    ) -> Steps[Dataset]:
        """Upload pictures, or a material, as a dataset; see `Client.upload`."""
        return (yield from create_dataset(pictures, name, idempotency_key))

    @operation
    def show(self, dataset_id: str, /) -> Steps[Dataset]:
        """Return a dataset. Raises NotFound."""
        return parse(Dataset, (yield from send(Request("GET", f"v1/datasets/{in_path(dataset_id, 'dataset')}"))))

    @iteration
    def list(self) -> Emits[Dataset]:
        """Iterate over all datasets, newest first."""
        yield from pages_of(Dataset.model_validate_json, "v1/datasets", {})

    @operation
    def delete(self, dataset: str | Dataset, /) -> Steps[None]:
        """Delete a dataset. Raises Conflict while a job needs it."""
        yield from delete(f"v1/datasets/{in_path(dataset, 'dataset')}")


def create_dataset(pictures: Pictures, name: str | None, key: str | None = None) -> Steps[Dataset]:
    upload = upload_of(pictures)
    texts = {} if name is None else {"name": name}
    request = Request(
        "POST",
        "v1/datasets",
        files=[("images", part) for part in upload.parts],
        data={**texts, "maps": json.dumps(upload.roles)} if upload.roles else texts,
        headers=idempotency_header(key),
        answer_seconds=UPLOAD_SECONDS,
    )
    dataset = parse(Dataset, (yield from send(request)))
    return dataset.model_copy(update={"skipped": [*upload.skipped, *dataset.skipped]})


class _Models(_Resource):
    @operation
    def show(self, model_id: str, /) -> Steps[Model]:
        """Return a model. Raises NotFound."""
        return parse(Model, (yield from send(Request("GET", f"v1/models/{in_path(model_id, 'model')}"))))

    @iteration
    def list(self) -> Emits[Model]:
        """Iterate over all models, newest first."""
        yield from pages_of(Model.model_validate_json, "v1/models", {})

    @operation
    def rename(self, model: str | Model, name: str | None, /) -> Steps[Model]:
        """Give a model another name, or none."""
        return parse(
            Model, (yield from send(Request("PATCH", f"v1/models/{in_path(model, 'model')}", json={"name": name})))
        )

    @operation
    def export(self, model: str | Model, path: str | Path, /) -> Steps[Path]:
        """Save a model as one .safetensors file, and return its path. Raises FileExistsError rather than overwrite."""
        url = f"v1/models/{in_path(model, 'model')}/download"
        return (yield from write_new(Path(path), Request("GET", url)))

    @operation
    def import_(
        self, path: str | Path, /, name: str | None = None, *, idempotency_key: str | None = None
    ) -> Steps[Model]:
        """Upload a model's file, as `export` has written it. Raises Invalid if it is not a model's.

        idempotency_key: as for `Client.upload`.
        """
        request = Request(
            "POST",
            "v1/models",
            files=[("model", part_of(Path(path)))],
            data={} if name is None else {"name": name},
            headers=idempotency_header(idempotency_key),
            answer_seconds=UPLOAD_SECONDS,
        )
        return parse(Model, (yield from send(request)))

    @operation
    def delete(self, model: str | Model, /) -> Steps[None]:
        """Delete a model. Raises Conflict while a job needs it."""
        yield from delete(f"v1/models/{in_path(model, 'model')}")


class _Presets(_Resource):
    @operation
    def list(self) -> Steps[list[Preset]]:
        """Return all presets, with the meaning, the default and the bounds of each parameter."""
        return parse_page(Preset.model_validate_json, (yield from send(Request("GET", "v1/presets"))))[0]


class Datasets(_Datasets, Synchronous): ...


class AsyncDatasets(_Datasets, Asynchronous): ...


class Models(_Models, Synchronous): ...


class AsyncModels(_Models, Asynchronous): ...


class Presets(_Presets, Synchronous): ...


class AsyncPresets(_Presets, Asynchronous): ...
