// What steers new pictures besides their model: a picture to begin with, one to end with, one to follow, other models.

import { pngFile } from "../canvas.js";
import { signal } from "../ui.js";
import { createDataset } from "./datasets.js";
import { imageOf, loaded } from "./pictures.js";
import { isFixedSize, isOfMaterial, isOfPatches, modelName, modelOf, models } from "./models.js";

// start, end or guide -> {name, bitmap, file, datasetId, strength}. file: until it is stored, then datasetId. strength:
// undefined for the default.
export const pictures = signal({});
// [{modelId, name, mask, weight}]: name is the model's when it was chosen; mask is a picture like those, or painted here,
// {name, paint: a Mask}, or null; weight is undefined for all of it, softness of the mask for what suits it.
export const blend = signal([]);

const WITHOUT_MASK = 0.5; // the weight of a model that is drawn everywhere
const PAINTED_SOFTNESS = 0.25; // of masks painted here: a brush is sharp, and their border about as wide as the net sees

// null for formats that only the service reads, and for broken pictures, which it names.
export const bitmapOf = (file) => createImageBitmap(file).catch(() => null);

export const canBlend = (model) => Boolean(model) && !isFixedSize(model);

const SLOTS = ["start", "end", "guide"];

// Which pictures can steer this model, as it stands: "end" needs a start, and no other models.
export const slotsOf = (model) => SLOTS.filter((slot) => model && !hindrance(slot, model));

// Why a picture cannot steer this model, as it stands; null if it can.
export function hindrance(slot, model) {
  if (isOfMaterial(model)) return "not for the model of a material";
  if (isOfPatches(model)) return "not for a model of patches";
  if (slot === "guide" && isFixedSize(model)) return "not for the model of an object";
  if (slot !== "end") return null;
  if (canBlend(model) && blendOf(model).length) return "not while other models are drawn too";
  return pictures.value.start ? null : "not without a picture to begin with";
}

// The models that can be drawn on one canvas with this one.
export const companionsOf = (model) => models.value.filter((one) =>
  one.id !== model.id && canBlend(one) && one.channels === model.channels && isOfMaterial(one) === isOfMaterial(model));

// The chosen ones of these, as in `blend`.
export function blendOf(model) {
  const ids = companionsOf(model).map((one) => one.id);
  return blend.value.filter(({ modelId }) => ids.includes(modelId));
}

// The chosen models that this one is drawn without: [{modelId, name, reason}].
export function leftOut(model) {
  const drawn = canBlend(model) ? blendOf(model) : [];
  return blend.value.filter((one) => !drawn.includes(one)).map(({ modelId, name }) => {
    const other = modelOf(modelId);
    return { modelId, name: other ? modelName(other) : name, reason: reasonAgainst(other, model) };
  });
}

function reasonAgainst(other, model) {
  if (!other) return "it was deleted";
  if (other.id === model.id) return "it is the model chosen above";
  if (!canBlend(model)) return "not with a model of an object or of patches";
  if (!canBlend(other)) return "it is a model of an object or of patches";
  const [drawn, own] = [other, model].map((one) => (isOfMaterial(one) ? "the maps of a material" : one.channels === 1 ? "grey" : "colours"));
  return `it draws ${drawn}, the model chosen above ${drawn === own ? "others" : own}`;
}

// The names of what was chosen and does not steer this model.
export const unusedNames = (model) => [
  ...SLOTS.filter((slot) => pictures.value[slot] && hindrance(slot, model)).map((slot) => pictures.value[slot].name),
  ...leftOut(model).map(({ name }) => name),
];

export const weightOf = ({ mask, weight }) => weight ?? (mask ? 1 : WITHOUT_MASK);

export const pictureOf = async (file) => ({ name: file.name, file, bitmap: await bitmapOf(file) });

// A picture that is stored, or null if it is not there any more.
export async function storedPicture(datasetId) {
  const image = await imageOf(datasetId);
  if (!image) return null;
  return { name: image.filename, datasetId, bitmap: await loaded(image.url).catch(() => null) };
}

// Steer by a file, or by none.
export async function steer(slot, file) {
  const chosen = file && (await pictureOf(file));
  const { [slot]: _, ...others } = pictures.peek();
  pictures.value = chosen ? { ...others, [slot]: chosen } : others;
}

export function setStrength(slot, strength) {
  pictures.value = { ...pictures.peek(), [slot]: { ...pictures.peek()[slot], strength } };
}

export function addCompanion(modelId) {
  blend.value = [...blend.peek(), { modelId, name: modelName(modelOf(modelId)), mask: null, weight: undefined }];
}

export function changeCompanion(modelId, values) {
  blend.value = blend.peek().map((one) => (one.modelId === modelId ? { ...one, ...values } : one));
}

export function removeCompanion(modelId) {
  blend.value = blend.peek().filter((one) => one.modelId !== modelId);
}

// Steer no more by pictures that were deleted, unless they can be stored again; a model whose mask they were is left out.
export function letGoPictures(datasetId) {
  const without = (picture) => {
    if (picture?.datasetId !== datasetId) return picture;
    return picture.file || picture.paint ? { ...picture, datasetId: undefined } : null;
  };
  const left = Object.entries(pictures.peek()).map(([slot, picture]) => [slot, without(picture)]);
  pictures.value = Object.fromEntries(left.filter(([, picture]) => picture));
  blend.value = blend.peek().map((one) => ({ ...one, mask: without(one.mask) })).filter(({ mask }, index) => mask || !blend.peek()[index].mask);
}

// Blend as a job did: with its models, masks and weights. Returns whether all masks are still there; a model whose mask was
// deleted is left out, for it would be drawn everywhere.
export async function blendAs(job) {
  const masks = await Promise.all(job.params.blend.map((one) => one.mask_dataset_id && storedPicture(one.mask_dataset_id)));
  const blended = job.params.blend.map((one, index) => ({ modelId: one.model_id, name: modelName(modelOf(one.model_id)), mask: masks[index] ?? null, weight: one.weight ?? undefined, softness: one.softness ?? undefined }));
  blend.value = blended.filter(({ mask }, index) => mask || !job.params.blend[index].mask_dataset_id);
  return blend.value.length === blended.length;
}

// Upload what steers this model; return the parameters that name it. onStored(dataset): called with each that is made.
export async function steeringParams(model, onStored) {
  const params = {};
  for (const slot of slotsOf(model)) {
    const picture = pictures.peek()[slot];
    if (!picture) continue;
    params[`${slot}_dataset_id`] = await stored(picture, onStored, (after) => {
      if (pictures.peek()[slot] === picture) pictures.value = { ...pictures.peek(), [slot]: after };
    });
    if (picture.strength !== undefined) params[`${slot}_strength`] = picture.strength;
  }
  const companions = canBlend(model) ? blendOf(model) : [];
  for (const one of companions) {
    const { modelId, mask } = one;
    const keep = (after) => {
      if (blend.peek().find((other) => other.modelId === modelId)?.mask === mask) changeCompanion(modelId, { mask: after });
    };
    const masked = mask ? { mask_dataset_id: await stored(mask, onStored, keep) } : {};
    const softness = mask ? one.softness ?? (mask.paint ? PAINTED_SOFTNESS : undefined) : undefined;
    params.blend = [...(params.blend ?? []), { model_id: modelId, ...masked, weight: weightOf(one), softness }];
  }
  return params;
}

// Return the id of a picture's dataset. It is uploaded once; keep(picture) then gets it with its id.
async function stored(picture, onStored, keep) {
  if (picture.datasetId) return picture.datasetId;
  const file = picture.file ?? pngFile(await picture.paint.blackAndWhite(), picture.name);
  const made = await createDataset([file]);
  onStored(made);
  keep({ ...picture, datasetId: made.id });
  return made.id;
}
