// What the user is about to make. It lasts while the page is open, also when other views are looked at; kept.js keeps it
// over a reload.

import { Refused, fileOf } from "../api.js";
import { pngFile } from "../canvas.js";
import { words } from "../format.js";
import { batch, computed, signal } from "../ui.js";
import { create } from "./jobs.js";
import { createDataset } from "./datasets.js";
import { fitsSide, fitted } from "./fit.js";
import { loadModels, modelName, modelOf, models } from "./models.js";
import { jobKind, kindOf } from "./kinds.js";
import { roleOfName } from "./roles.js";
import { presetsFor } from "./presets.js";
import { isOurs } from "./replays.js";
import { bitmapOf, blend, pictures, steeringParams } from "./steering.js";

export const kindId = signal("texture");
export const kind = computed(() => kindOf(kindId.value));
// [{id, file, bitmap, ours, fitted}]: bitmap is null if this browser cannot show the format, ours if we made it; fitted is the
// picture cropped or scaled (fit.js), which is sent where its size matters.
export const files = signal([]);
export const roles = signal({}); // id of a file -> which map of a material it is
export const dataset = signal(null); // a stored set, instead of files
export const presetName = signal(null);
export const modelIds = signal([]);
export const changes = signal({}); // id of a kind -> {parameter name: value}
export const overrides = computed(() => changes.value[kindId.value] ?? {}); // those of the present kind
export const problems = signal([]); // [{field, message, file}] of the last attempt
// The picture to fill in: {modelId, url, name, source, picture, mask, share}. url: if it is stored. picture: a canvas with
// it as the model sees it. mask, share: what is painted over.
export const hole = signal(null);
// The same, null if it was drawn for another model than the one chosen.
export const presentHole = computed(() => (hole.value?.modelId === modelIds.value[0] ? hole.value : null));
export const sent = signal(null); // the share of an upload that is sent; null if none runs

export const preset = computed(() => {
  const fitting = presetsFor(kindId.value);
  return fitting.find((one) => one.name === presetName.value) ?? fitting[0];
});
export const pictureCount = computed(() => dataset.value?.images.length ?? files.value.length);
export const wantsPictures = computed(() => !["sample", "inpaint"].includes(kindId.value));
export const takesMaps = computed(() => kindId.value === "texture");
// The pixels that the shorter side of each picture must have; null if any size works.
export const sideNeeded = computed(() => (kindId.value === "seam" ? modelOf(modelIds.value[0])?.params.image_size ?? null : null));
export const wantsModel = computed(() => kind.value.group === "use");

export function choose(id, query = {}) {
  batch(() => {
    if (kindId.peek() !== id) problems.value = [];
    kindId.value = kindOf(id).id;
    if (query.model) modelIds.value = [query.model];
  });
}

export function override(name, value) {
  const { [name]: _, ...others } = overrides.peek();
  overrideAll(value === undefined ? others : { ...others, [name]: value });
  problems.value = problems.peek().filter((one) => one.field !== `params.${name}`);
}

// What was said of a field, and of its parts, when it is changed.
export function forgetProblems(field) {
  problems.value = problems.peek().filter((one) => !one.field?.startsWith(field));
}

export function overrideAll(values, id = kindId.peek()) {
  changes.value = { ...changes.peek(), [id]: values };
}

// Whether anything is chosen or set that `beginAnew` would take away.
export const begun = computed(
  () =>
    pictureCount.value > 0 || hole.value?.share > 0 || presetName.value !== null || blend.value.length > 0 ||
    Object.keys(pictures.value).length > 0 || Object.values(changes.value).some((one) => Object.keys(one).length > 0),
);

export function beginAnew() {
  batch(() => {
    clearPictures();
    changes.value = {};
    presetName.value = null;
    hole.value = null;
    pictures.value = {};
    blend.value = [];
    problems.value = [];
  });
}

let last = 0;

export async function addFiles(list) {
  const added = await Promise.all([...list].map(looked));
  batch(() => {
    dataset.value = null;
    problems.value = [];
    files.value = [...files.peek(), ...added];
    if (takesMaps.peek()) roles.value = { ...roles.peek(), ...guessedRoles(added) };
  });
}

const looked = async (file) => ({ id: (last += 1), file, bitmap: await bitmapOf(file), ours: await isOurs(file) });

// Which maps of a material these files are by their names: id -> role. Empty if fewer than two tell; a role that two files
// tell is left to the user.
function guessedRoles(added) {
  const told = added.map(({ id, file }) => [id, roleOfName(file.name)]).filter(([, role]) => role);
  const clear = told.filter(([, role]) => told.filter(([, other]) => other === role).length === 1);
  const taken = files.peek().map(({ id }) => roles.peek()[id]);
  return clear.length < 2 ? {} : Object.fromEntries(clear.filter(([, role]) => !taken.includes(role)));
}

// Crop or scale a picture to a size; the file itself stays. The pictures of a stored set are fetched, and the set stays.
export async function fit(id, how) {
  if (dataset.peek()) {
    const { images } = dataset.peek();
    await addFiles(await Promise.all(images.map(({ url, filename }) => fileOf(url, filename))));
    id = files.peek()[images.findIndex(({ index }) => index === id)].id;
  }
  const { bitmap, file } = files.peek().find((one) => one.id === id);
  changeFile(id, { fitted: await fitted(bitmap, file.name, how) });
}

export const unfit = (id) => changeFile(id, { fitted: null });

function changeFile(id, values) {
  problems.value = [];
  files.value = files.peek().map((one) => (one.id === id ? { ...one, ...values } : one));
}

export function setRole(id, role) {
  roles.value = { ...roles.peek(), [id]: role };
  problems.value = [];
}

export function clearPictures() {
  batch(() => {
    files.value = [];
    roles.value = {};
    dataset.value = null;
    problems.value = [];
  });
}

export const isZip = (file) => /\.zip$/i.test(file.name) || file.type === "application/zip";

// What is still missing, in words; null if the job can be posted.
export const missing = computed(() => {
  if (wantsModel.value && modelIds.value.filter(modelOf).length === 0) return "Choose a model.";
  if (kindId.value === "classify" && modelIds.value.length < 2) return "Choose two models or more.";
  if (kindId.value === "inpaint" && !presentHole.value?.share) return "Paint over what should go.";
  if (kindId.value === "inpaint" && presentHole.value.share === 1) return "Leave something to paint from.";
  if (wantsPictures.value && pictureCount.value === 0) return "Add a picture.";
  if (notNumbers.value.length) return `Write a number at ${notNumbers.value.join(", ")}.`;
  if (misfit.value) return `Crop or scale ${misfit.value}: this model works on photographs whose shorter side is ${sideNeeded.value} pixels.`;
  if (takesMaps.value && !dataset.value && withoutRole()) return `Say at “This is” which map of the material ${withoutRole().file.name} is, or remove it.`;
  return null;
});

// The settings in which something else than a number was typed.
const notNumbers = computed(() => [
  ...Object.entries(overrides.value).filter(([, value]) => Number.isNaN(value)).map(([name]) => words(name)),
  ...(kindId.value === "sample" && blend.value.some(({ weight }) => Number.isNaN(weight)) ? ["weight"] : []),
  ...(kindId.value === "sample" && Object.values(pictures.value).some((one) => Number.isNaN(one?.strength)) ? ["strength"] : []),
]);

// The name of the first picture whose size does not work; undefined if all do, or cannot be seen here.
const misfit = computed(() => {
  const side = sideNeeded.value;
  if (!side) return undefined;
  if (dataset.value) return dataset.value.images.find((one) => !fitsSide([one.width, one.height], side))?.filename;
  return files.value.find(({ bitmap, fitted }) => bitmap && !fitsSide(fitted?.size ?? [bitmap.width, bitmap.height], side))?.file.name;
});

// A file that does not say which map it is, though others do.
function withoutRole() {
  const without = files.value.filter(({ id }) => !roles.value[id]);
  return without.length < files.value.length ? without[0] : undefined;
}

// Upload what is to be uploaded, and post the job. Returns {job, notes}. Throws what the service refuses, after
// `problems` were set.
export async function start() {
  problems.value = [];
  try {
    const { set, notes } = await stored();
    const steered = kindId.peek() === "sample" ? await steeringParams(modelOf(modelIds.peek()[0])) : {};
    const job = await create(bodyOf(set, steered));
    return { job, notes };
  } catch (error) {
    if (error instanceof Refused) problems.value = error.errors;
    if (error.status === 404) await forgetDeletedModels(error);
    throw error;
  } finally {
    sent.value = null;
  }
}

// A model was deleted since it was chosen: say so by its name, and let another be chosen.
async function forgetDeletedModels(error) {
  const names = new Map(models.peek().map((one) => [one.id, modelName(one)]));
  await loadModels();
  const gone = [...names.keys()].filter((id) => !modelOf(id) && error.message.includes(id));
  for (const id of gone) error.message = `The model “${names.get(id)}” was deleted meanwhile: choose another.`;
  modelIds.value = modelIds.peek().filter((id) => !gone.includes(id));
}

async function stored() {
  if (kindId.peek() === "inpaint") {
    const { mask, picture, name } = presentHole.peek();
    return { set: await createDataset([pngFile(await mask.pierced(picture), name)]), notes: [] };
  }
  if (!wantsPictures.peek() || dataset.peek()) return { set: dataset.peek(), notes: [] };
  sent.value = 0;
  const chosen = files.peek().map((one) => (sideNeeded.peek() && one.fitted?.file) || one.file);
  const report = (share) => {
    sent.value = share;
  };
  const made = await createDataset(chosen, null, report, takesMaps.peek() ? rolesByName() : {});
  dataset.value = made; // a second start uploads nothing again
  files.value = [];
  roles.value = {};
  return { set: made, notes: notesOf(made) };
}

function rolesByName() {
  const named = files.peek().filter(({ id }) => roles.peek()[id]);
  return Object.fromEntries(named.map(({ id, file }) => [file.name, roles.peek()[id]]));
}

function notesOf(made) {
  const lost = made.images.filter((one) => one.notes?.length).map((one) => `${one.filename}: ${one.notes.join("; ")}`);
  const skipped = (made.skipped ?? []).map((one) => `${one.file} (${one.reason})`);
  return skipped.length ? [...lost, `Skipped: ${skipped.join(", ")}`] : lost;
}

function bodyOf(set, steered) {
  const params = overrides.peek();
  if (kind.peek().group === "learn") {
    return { kind: "train", dataset_id: set.id, preset: preset.peek().name, params };
  }
  const models = kindId.peek() === "classify" ? { model_ids: modelIds.peek() } : { model_id: modelIds.peek()[0] };
  const pictures = set && kindId.peek() !== "sample" ? { dataset_id: set.id } : {};
  return { kind: jobKind(kind.peek()), ...models, ...pictures, params: { ...params, ...kind.peek().params, ...steered } };
}
