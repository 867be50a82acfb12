// The models, newest first, all pages of them.

import { get, remove, send, upload } from "../api.js";
import { signal } from "../ui.js";
import { kindOf } from "./kinds.js";
import { purposeOf } from "./presets.js";

export const models = signal(null); // null until they are read

export async function loadModels() {
  const found = [];
  let after = "";
  do {
    const page = await get(`v1/models?limit=100${after}`);
    found.push(...page.data);
    after = page.has_more ? `&after=${page.next}` : "";
  } while (after);
  models.value = found;
}

export const modelOf = (id) => models.value?.find((one) => one.id === id);
export const modelName = (model) => model?.name || (model ? `${kindOf(purposeOf(model.params)).title} ${model.id.slice(-6)}` : "deleted model");

export const MIN_SIDE = 16; // pixels of what a model draws at any size; as in core/schemas/sampling.py

// What a model can draw: only its own size if it learned an object, or patches that stand alone.
export const isFixedSize = ({ params }) => params.top === "object" || isOfPatches({ params });
export const isOfPatches = ({ params }) => Boolean(params.patch_size) && params.boundary !== "torus";
export const isOfMaterial = (model) => model.maps.length > 0; // it draws aligned maps, and takes no pictures

// The models that a kind of things to make can use; the service refuses the others.
const drawsWhole = (model) => !isOfPatches(model) && !isOfMaterial(model);
const LIMITS = { inpaint: drawsWhole, reconstruct: drawsWhole, classify: drawsWhole, seam: (model) => drawsWhole(model) && !isFixedSize(model) };
export const modelsFor = (kindId) => models.value?.filter(LIMITS[kindId] ?? (() => true));

export const sideOf = ({ params }) => (isOfPatches({ params }) ? params.patch_size : params.image_size);

// The pixels that are painted along each edge of a photograph made tileable, if nobody says how many; as
// default_seam_width in core/schemas/inpainting.py.
export function seamWidth({ params }) {
  let [window, stride] = [1, 1];
  for (const layer of params.layers) {
    window += (layer.kernel_size - 1) * stride;
    stride *= layer.stride;
  }
  return Math.min(window, Math.floor(params.image_size / 4));
}

export async function importModel(file, report) {
  const form = new FormData();
  form.append("model", file);
  form.append("name", file.name.replace(/\.safetensors$/, ""));
  const model = await upload("v1/models", form, report);
  await loadModels();
  return model;
}

export async function renameModel(id, name) {
  await send(`v1/models/${id}`, { name }, "PATCH");
  await loadModels();
}

export async function deleteModel(id) {
  await remove(`v1/models/${id}`);
  models.value = models.peek().filter((one) => one.id !== id);
}
