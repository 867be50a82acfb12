// What steers new pictures besides their model: a picture to begin with, one to end with, one to follow, other models.

import { signal } from "../ui.js";
import { createDataset } from "./datasets.js";
import { isFixedSize, isOfMaterial, isOfPatches, models } from "./models.js";

export const pictures = signal({}); // start, end or guide -> {file, bitmap, strength}; strength is undefined for the default
export const blend = signal([]); // [{modelId, mask, weight}]: mask is {file, bitmap} or null, weight undefined for all of it

const WITHOUT_MASK = 0.5; // the weight of a model that is drawn everywhere

// null for formats that only the service reads, and for broken pictures, which it names.
export const bitmapOf = (file) => createImageBitmap(file).catch(() => null);

export const canBlend = (model) => Boolean(model) && !isFixedSize(model);

// Which pictures can steer this model, as it stands: "end" needs a start, and no other models.
export function slotsOf(model) {
  if (!model || isOfMaterial(model) || isOfPatches(model)) return [];
  const passes = pictures.value.start && !(canBlend(model) && blendOf(model).length);
  return ["start", ...(passes ? ["end"] : []), ...(isFixedSize(model) ? [] : ["guide"])];
}

// The models that can be drawn on one canvas with this one.
export const companionsOf = (model) => models.value.filter((one) =>
  one.id !== model.id && canBlend(one) && one.channels === model.channels && isOfMaterial(one) === isOfMaterial(model));

// The chosen ones of these: [{modelId, mask, weight}].
export function blendOf(model) {
  const ids = companionsOf(model).map((one) => one.id);
  return blend.value.filter(({ modelId }) => ids.includes(modelId));
}

export const weightOf = ({ mask, weight }) => weight ?? (mask ? 1 : WITHOUT_MASK);

// Steer by a file, or by none.
export async function steer(slot, file) {
  const chosen = file && { file, bitmap: await bitmapOf(file) };
  const { [slot]: _, ...others } = pictures.peek();
  pictures.value = chosen ? { ...others, [slot]: chosen } : others;
}

export function setStrength(slot, strength) {
  pictures.value = { ...pictures.peek(), [slot]: { ...pictures.peek()[slot], strength } };
}

export function addCompanion(modelId) {
  blend.value = [...blend.peek(), { modelId, mask: null, weight: undefined }];
}

export function changeCompanion(modelId, values) {
  blend.value = blend.peek().map((one) => (one.modelId === modelId ? { ...one, ...values } : one));
}

export function removeCompanion(modelId) {
  blend.value = blend.peek().filter((one) => one.modelId !== modelId);
}

// Upload what steers this model; return the parameters that name it.
export async function steeringParams(model) {
  const params = {};
  for (const slot of slotsOf(model)) {
    const picture = pictures.peek()[slot];
    if (!picture) continue;
    params[`${slot}_dataset_id`] = (await createDataset([picture.file])).id;
    if (picture.strength !== undefined) params[`${slot}_strength`] = picture.strength;
  }
  const companions = canBlend(model) ? blendOf(model) : [];
  for (const one of companions) {
    const mask = one.mask ? { mask_dataset_id: (await createDataset([one.mask.file])).id } : {};
    params.blend = [...(params.blend ?? []), { model_id: one.modelId, ...mask, weight: weightOf(one) }];
  }
  return params;
}
