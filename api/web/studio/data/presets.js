// The presets of learning, sorted by what they make; and the parameters of other jobs, from the service's own document.

import { get } from "../api.js";
import { signal } from "../ui.js";

export const presets = signal(null); // null until they are read
const ORDER = ["quick", "photo", "photo-large", "texture-cpu", "texture-full", "texture", "object-cpu", "object", "autoencoder-cpu", "autoencoder", "prototype"];

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

// Parameters that a purpose decides, or with which the service refuses or ignores them (core/schemas/learning.py).
const DECIDED = ["top", "contrastive"];
const OF_A_TORUS = ["random_lattice", "coarse_factor", "coarse_iterations", "canvas_iterations"]; // the coarse level of objects too
const OF_CHAINS_THAT_PERSIST = ["num_chains", "initialization", "keep_nearest", "stop_when_steady"];
const IDLE = {
  texture: DECIDED,
  object: [...DECIDED, "random_lattice", "canvas_iterations", "patch_size"],
  autoencoder: [...DECIDED, ...OF_A_TORUS, ...OF_CHAINS_THAT_PERSIST, "patch_size"],
  dictionary: [...DECIDED, ...OF_A_TORUS, ...OF_CHAINS_THAT_PERSIST],
};

// The parameters of a preset that can be set for its purpose, and those that are set.
export const settable = ({ params, parameters }, set) => parameters.filter(({ name }) => name in set || !IDLE[purposeOf(params)].includes(name));

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
