"""The form field `maps`: which uploaded file is which map of a material."""

import json
from collections.abc import Mapping, Sequence

from api.datasets.files import clean_name
from api.errors import Problem
from core.schemas.materials import MAX_CHANNELS, ROLES, Role
from core.storage.tables import DatasetImage

FIELD = "maps"
EXAMPLE = '{"wood.png": "albedo", "wood_n.png": "normal"}'

Roles = Mapping[str, Role]


def parse_maps(text: str | None) -> Roles | None:
    """Return the role of each file by its name; None without the field. Raises Problem, naming each wrong file."""
    if text is None:
        return None
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise _problem([_error(f"is not JSON ({error}): send an object such as {EXAMPLE}")]) from error
    if not isinstance(pairs, list) or not pairs or not all(isinstance(one, tuple) for one in pairs):
        raise _problem([_error(f"must be an object of file names and their roles, such as {EXAMPLE}")])
    roles: dict[str, Role] = {}
    wrong = []
    for name, role in pairs:
        file = clean_name(name, "")
        taken = next((other for other, its_role in roles.items() if its_role == role), None)
        if role not in ROLES:
            wrong.append(_error(f"{json.dumps(role)[:60]} is no role; the roles are {', '.join(ROLES)}", file))
        elif file in roles:
            wrong.append(_error("is named twice", file))
        elif taken is not None:
            wrong.append(_error(f"is the {role} map, but so is {taken}: a material has one map of each role", file))
        else:
            roles[file] = role
    if wrong:
        raise _problem(wrong)
    return roles


def check_material(images: Sequence[DatasetImage], roles: Roles) -> None:
    """Check that the pictures are the maps that `roles` names, aligned. Raises Problem, naming each wrong file."""
    names = [image.filename for image in images]
    wrong = [_error("no uploaded picture has this name", file) for file in roles if file not in names]
    for index, image in enumerate(images):
        if image.filename not in roles:
            wrong.append(_error("the field maps does not say which map it is", image.filename))
        elif image.filename in names[:index]:
            wrong.append(_error("two uploaded pictures have this name", image.filename))
        elif (image.width, image.height) != (images[0].width, images[0].height):
            first = f"{images[0].filename} {images[0].width} x {images[0].height}"
            sizes = f"is {image.width} x {image.height} pixels, but {first}"
            wrong.append(_error(f"{sizes}: the maps of a material must have one size", image.filename))
    channels = sum(1 if image.mode == "L" else 3 for image in images)
    if channels > MAX_CHANNELS:
        wrong.append(_error(f"have {channels} channels together, more than {MAX_CHANNELS}"))
    if wrong:
        raise _problem(wrong)


def _error(message: str, file: str | None = None) -> dict[str, str]:
    return {"field": FIELD, "message": message, **({} if file is None else {"file": file})}


def _problem(errors: list[dict[str, str]]) -> Problem:
    lines = [f"{one.get('file', FIELD)}: {one['message']}" for one in errors[:3]]
    return Problem(422, "; ".join(lines), errors)
