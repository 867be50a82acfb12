"""/v1/models"""

from fastapi import APIRouter, Request, Response

from api import files
from api.house import InHouse
from api.models.schemas import ModelOut
from api.pages import After, Limit, Page, cut
from core.store import models

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def listing(house: InHouse, limit: Limit = 20, after: After = None) -> Page[ModelOut]:
    rows, more, following = cut(models.listing(house.database, limit=limit + 1, after=after), limit)
    return Page(data=[ModelOut.of(row) for row in rows], has_more=more, next=following)


@router.get("/{model_id}")
def show(house: InHouse, model_id: str) -> ModelOut:
    return ModelOut.of(models.find(house.database, model_id))


@router.api_route("/{model_id}/download", methods=["GET", "HEAD"], response_class=Response)
def download(house: InHouse, request: Request, model_id: str) -> Response:
    """One .safetensors file: weights, and in its header how they were learned."""
    row = models.find(house.database, model_id)
    return files.serve(request, house.blobs, row, f"{model_id}.safetensors", download=True)


@router.delete("/{model_id}", status_code=204)
def delete(house: InHouse, model_id: str) -> None:
    """409 while a job that needs it has not ended."""
    house.blobs.delete(*models.delete(house.database, model_id))
