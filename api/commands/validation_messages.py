"""Rewrite the service's validation errors of a job for the command line: options instead of fields of a request."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

# What a field of a request is on the command line, where it is not named as the option; and the same in messages.
_ARGUMENTS = {
    "dataset_id": "PICTURES",
    "model_id": "MODEL",
    "model_ids": "--model",
    "model_name": "--name",
    "time_limit_seconds": "--time-limit",
    "params.start_dataset_id": "--start",
    "params.end_dataset_id": "--end",
    "params.guide_dataset_id": "--guide",
}
_IN_MESSAGES = (
    (r"\b(start|end|guide)_dataset_id\b", r"--\1"),
    (r"\bmodel_ids\[0\]", "the first one"),
    (r"\bneeds mode attractor\b", "needs --mode attractor"),
    (r"\bneeds seam: true\b", "needs --seam"),
    (r"\bwith image_size (\d+)", r"with --image-size \1"),
)


@contextmanager
def naming_options(command: Callable[..., None]) -> Iterator[None]:
    """Let a refusal of a command's job speak of the command's options, not of fields of a request."""
    from api.client import Invalid

    try:
        yield
    except Invalid as error:
        if not error.errors:
            raise
        options = [name for name in inspect.signature(command).parameters if name != "session"]
        messages = [
            f"{one.file or _argument(one.field, options)}: {_with_options(one.message)}" for one in error.errors[:3]
        ]
        raise Invalid(error.status, "; ".join(messages), error.errors) from error


def _argument(field: str, options: Sequence[str]) -> str:
    """Return what a field of a request is among the options (names of parameters) of a command."""
    if blended := re.match(r"params\.blend\[(\d+)\]", field):
        return f"model {int(blended[1]) + 1} of --blend"
    if compared := re.match(r"model_ids\[(\d+)\]", field):
        return f"model {int(compared[1]) + 1} of --model"
    field, index, rest = field.partition("[")
    if field in _ARGUMENTS:
        return _ARGUMENTS[field]
    name = field.removeprefix("params.")
    option = f"--{name.replace('_', '-')}" if name in options else f"--set {name}" if name != field else name
    return option + index + rest


def _with_options(message: str) -> str:
    for field, option in _IN_MESSAGES:
        message = re.sub(field, option, message)
    return message


@contextmanager
def naming_seam(params: Mapping[str, Any]) -> Iterator[None]:
    """Add to the refusal of pictures that --seam makes opaque ones tileable: they may have been meant for that."""
    from api.client import Invalid

    try:
        yield
    except Invalid as error:
        if error.field != "dataset_id" or params.get("seam"):
            raise
        detail = f"{error.detail} (--seam makes opaque pictures tileable)"
        raise Invalid(error.status, detail, error.errors) from error
