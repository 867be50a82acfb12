// The presets of learning, sorted by what they make; and the parameters of other jobs, from the service's own document.

import { get } from "../api.js";
import { signal } from "../ui.js";

export const presets = signal(null); // null until they are read
const ORDER = ["quick", "texture-cpu", "photo", "photo-large", "texture-full", "texture", "object-cpu", "object", "autoencoder-cpu", "autoencoder", "prototype"];

export async function loadPresets() {
  const { data } = await get("v1/presets");
  const place = (one) => (ORDER.includes(one.name) ? ORDER.indexOf(one.name) : ORDER.length);
  presets.value = data.sort((one, other) => place(one) - place(other));
}

// What a model learned with these parameters is for.
export function purposeOf(params) {
  if (params.top === "object") return "object";
  if (params.contrastive) return params.patch_size ? "dictionary" : "autoencoder";
  return "texture";
}

export const presetsFor = (purpose) => (presets.value ?? []).filter((one) => purposeOf(one.params) === purpose);

const SCHEMAS = { sample: "SampleParams", reconstruct: "ReconstructParams", inpaint: "InpaintParams", classify: "ClassifyParams" };
const schemas = signal(null);

export async function loadSchemas() {
  if (schemas.peek()) return;
  schemas.value = (await get("openapi.json")).components.schemas;
}

// The parameters of a kind of job as [{name, description, default, bounds}]; empty until they are read.
export function parametersOf(kind) {
  const properties = schemas.value?.[SCHEMAS[kind]]?.properties ?? {};
  return Object.entries(properties).map(([name, { description = "", default: given = null, title, ...bounds }]) => ({
    name,
    description,
    default: given,
    bounds,
  }));
}
