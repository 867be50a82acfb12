// The models, newest first, all pages of them.

import { get, remove, send, upload } from "../api.js";
import { moment } from "../format.js";
import { computed, signal } from "../ui.js";
import { free, nameAfter } from "./names.js";
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
const shortId = ({ id }) => id.slice(-6);

// id -> {name, apart}. Models without a name are called after their pictures. apart: what tells a model from others of the
// same name; null if there are none.
const named = computed(() => {
  const all = [...(models.value ?? [])].reverse();
  const taken = new Set(all.map(({ name }) => name));
  const call = (model) => {
    const name = model.name || (model.dataset_name ? free(nameAfter(model.dataset_name), taken) : `${kindOf(purposeOf(model.params)).title} ${shortId(model)}`);
    taken.add(name);
    const times = all.filter((one) => one !== model && one.name === name).map((one) => moment(one.created_at));
    const time = moment(model.created_at);
    return { name, apart: times.includes(time) ? `${time}, ${shortId(model)}` : times.length ? time : null };
  };
  return new Map(all.map((model) => [model.id, call(model)]));
});

// What a model is called; another may have the same name.
export const givenName = ({ id }) => named.value.get(id).name;
export const apart = ({ id }) => named.value.get(id).apart;

// What only this model is called.
export function modelName(model) {
  if (!model) return "deleted model";
  const { name, apart: said } = named.value.get(model.id);
  return said ? `${name} (${said})` : name;
}

const names = computed(() => new Set([...named.value.values()].map(({ name }) => name)));
export const isTaken = (name) => names.value.has(name);

// What a model will be called that learns from pictures. reserved: names of models that are still learned.
export const newNameAfter = (pictures, reserved) => free(nameAfter(pictures), new Set([...names.value, ...reserved]));

export const MIN_SIDE = 16; // pixels of what a model draws at any size; as in core/schemas/sampling.py

// What a model can draw: only its own size if it learned an object, or patches that stand alone.
export const isFixedSize = ({ params }) => params.top === "object" || isOfPatches({ params });
export const isOfPatches = ({ params }) => Boolean(params.patch_size) && params.boundary !== "torus";
export const isOfMaterial = (model) => model.maps.length > 0; // it draws aligned maps, and takes no pictures

// The models that a kind of things to make can use; the service refuses the others.
const drawsWhole = (model) => !isOfPatches(model) && !isOfMaterial(model);
const LIMITS = { inpaint: drawsWhole, reconstruct: drawsWhole, classify: drawsWhole, seam: (model) => drawsWhole(model) && !isFixedSize(model) };
export const modelsFor = (kindId) => models.value?.filter(LIMITS[kindId] ?? (() => true));

// Why a picture cannot be compared under two models, said of the first; null if it can.
export function unlike(model, other) {
  const [side, wanted] = [sideOf(model), sideOf(other)];
  if (side !== wanted) return `${side} px, but ${givenName(other)} has ${wanted} px`;
  if (model.channels !== other.channels) return `${model.channels === 1 ? "grey" : "in colour"}, but ${givenName(other)} is ${other.channels === 1 ? "grey" : "in colour"}`;
  return null;
}

export const sideOf = ({ params }) => (isOfPatches({ params }) ? params.patch_size : params.image_size);

// The pixels that are painted along each edge of a photograph made tileable, if nobody says how many; as
// default_seam_width in core/schemas/inpainting.py.
export const seamWidth = ({ params }) => Math.min(windowOf(params.layers).side, Math.floor(params.image_size / 4));

// What one position of the net's top map sees, and the pixels between two such positions.
function windowOf(layers) {
  let [side, stride] = [1, 1];
  for (const layer of layers) {
    side += (layer.kernel_size - 1) * stride;
    stride *= layer.stride;
  }
  return { side, stride };
}

// An image_size with which these settings can be learned: `side`, or if that is too small, about the smallest; Infinity if
// that is not known here. The service refuses what is too small (core/schemas/learning.py).
export function learnableSize(params, side) {
  if (params.orientations.includes("any")) return Infinity;
  const seen = windowOf(params.layers);
  const least = Math.max(MIN_SIDE, params.random_lattice ? seen.side + seen.stride - 1 : seen.side);
  const factor = params.coarse_iterations ? params.coarse_factor : 1;
  if (params.top === "object") return Math.max(side, params.boundary === "valid" ? seen.side : seen.stride, factor * MIN_SIDE);
  return Math.max(side, factor * least, params.patch_size ?? 0);
}

export async function importModel(file, report) {
  const form = new FormData();
  form.append("model", file);
  form.append("name", file.name.replace(/(-model-\w{6})?( \(\d+\))?\.safetensors$/, "")); // as the service names its files
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
