// What the user is about to make. It lasts while the page is open, also when other views are looked at; kept.js keeps it
// over a reload.

import { Refused, fileOf } from "../api.js";
import { pngFile } from "../canvas.js";
import { words } from "../format.js";
import { batch, computed, signal } from "../ui.js";
import { create, unfinished } from "./jobs.js";
import { createDataset, datasetName, notesOf, pictureNames } from "./datasets.js";
import { fitsSide, fitted, isOpaque } from "./fit.js";
import { learnedPart } from "./learned-part.js";
import { learnableSize, modelName, modelOf, newNameAfter } from "./models.js";
import { jobKind, kindOf } from "./kinds.js";
import { loaded } from "./pictures.js";
import { roleOfName } from "./roles.js";
import { presetsFor } from "./presets.js";
import { isOurs } from "./replays.js";
import { bitmapOf, blend, blendOf, canBlend, letGoPictures, pictures, steeringParams, unusedNames } from "./steering.js";

export const kindId = signal("texture");
export const kind = computed(() => kindOf(kindId.value));
// [{id, file, bitmap, ours, fitted, left}]: bitmap is null if this browser cannot show the format, ours if we made it; fitted is
// the picture cropped or scaled (fit.js), which is sent where its size matters; left is {paint}, a Mask over what is not to be
// learned.
export const files = signal([]);
export const roles = signal({}); // id of a file -> which map of a material it is
export const dataset = signal(null); // a stored set, instead of files
const uploaded = signal(null); // {set, from}: what the files were stored as, for a job that was refused then; from: see `choice`
export const presetName = signal(null);
export const newName = signal(""); // of the model that is learned
export const modelIds = signal([]);
export const changes = signal({}); // id of a kind -> {parameter name: value}
export const overrides = computed(() => changes.value[kindId.value] ?? {}); // those of the present kind
export const problems = signal([]); // [{field, message, file}] of the last attempt
// The picture to fill in: {modelId, url, name, source, picture, mask, share}. url: if it is stored. picture: a canvas with
// it as the model sees it. mask, share: what is painted over.
export const hole = signal(null);
// The same, null if it was drawn for another model than the one chosen.
export const presentHole = computed(() => (hole.value?.modelId === modelIds.value[0] ? hole.value : null));
// What the model that is learned will be called if no name is given; null if there are no pictures.
export const defaultName = computed(() => {
  if (!pictureCount.value) return null;
  const pictures = dataset.value ? datasetName(dataset.value) : pictureNames(files.value.map(({ file }) => file.name));
  return newNameAfter(pictures, unfinished.value.map((job) => job.model_name));
});
export const lostPictures = signal(0); // how many a reload has taken from the form, until others are chosen or the form is left
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
// Whether a stored set was chosen that is a material, where pictures are wanted.
export const isMaterial = computed(() => wantsPictures.value && !takesMaps.value && Boolean(dataset.value?.maps.length));
// id of a file, or address of a stored picture -> whether it is opaque; of those that were looked through.
export const opaque = signal({});
// Whether what is transparent or painted over is left out of learning; else transparent parts are laid on white.
export const learnsParts = computed(() => {
  const params = { ...preset.value?.params, ...overrides.value };
  return kind.value.group === "learn" && params.top !== "object" && !params.contrastive;
});
export const wantsModel = computed(() => kind.value.group === "use");

// All that decides what is sent of the files.
const choice = computed(() => [
  files.value,
  takesMaps.value && Object.values(roles.value).some(Boolean) ? roles.value : null,
  ...(files.value.some(({ fitted, left }) => fitted || left) ? [sideNeeded.value, learnsParts.value] : []),
]);
// The set that the files are stored as; null if they are not, or were changed since.
export const storedFiles = computed(() => (uploaded.value?.from.every((one, index) => one === choice.value[index]) ? uploaded.value.set : null));

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
  forgetProblems(`params.${name}`);
}

// A problem is about a field if it names the field or a part of it: params.blend, params.blend[0].weight.
const isAbout = (field) => (problem) => problem.field === field || [".", "["].some((part) => problem.field?.startsWith(field + part));

// What was said of a field in the last attempt; undefined if nothing was, or it was changed since.
export const problemOf = (field) => problems.value.find(isAbout(field));

export function forgetProblems(field) {
  const about = isAbout(field);
  problems.value = problems.peek().filter((one) => !about(one));
}

export function overrideAll(values, id = kindId.peek()) {
  changes.value = { ...changes.peek(), [id]: values };
}

// Whether anything is chosen or set that `beginAnew` would take away.
export const begun = computed(
  () =>
    pictureCount.value > 0 || hole.value?.share > 0 || presetName.value !== null || newName.value !== "" || blend.value.length > 0 ||
    Object.keys(pictures.value).length > 0 || Object.values(changes.value).some((one) => Object.keys(one).length > 0),
);

export function beginAnew() {
  batch(() => {
    clearPictures();
    changes.value = {};
    presetName.value = null;
    newName.value = "";
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
    lostPictures.value = 0;
    problems.value = [];
    files.value = [...files.peek(), ...added];
    if (takesMaps.peek()) roles.value = { ...roles.peek(), ...guessedRoles(added) };
  });
}

const looked = async (file) => ({ id: (last += 1), file, bitmap: await bitmapOf(file), ours: await isOurs(file) });

// Which maps of a material these files are by their names: id -> role. Empty if fewer than two tell; a role that two files
// tell is left to the user.
function guessedRoles(added) {
  const withRole = added.map(({ id, file }) => [id, roleOfName(file.name)]).filter(([, role]) => role);
  const clear = withRole.filter(([, role]) => withRole.filter(([, other]) => other === role).length === 1);
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

// Look through the chosen pictures: only opaque ones can be made tileable. What cannot be shown here is left to the service.
export async function lookThrough() {
  const stored = dataset.peek()?.images.map(({ url }) => [url, () => loaded(url).catch(() => null)]);
  for (const [key, read] of stored ?? files.peek().map(({ id, bitmap }) => [id, () => bitmap])) {
    const source = key in opaque.peek() ? null : await read();
    if (source) opaque.value = { ...opaque.peek(), [key]: isOpaque(source) };
  }
}

// What is painted over in a picture is not to be learned; null: all of it is.
export const leaveOut = (id, paint) => changeFile(id, { left: paint && { paint } });

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
    lostPictures.value = 0;
    problems.value = [];
  });
}

export const isZip = (file) => /\.zip$/i.test(file.name) || file.type === "application/zip";

// Whether a file says that it is something else than pictures. What this browser cannot show may still be one.
export const isNoPicture = ({ file, bitmap }) => !bitmap && !isZip(file) && !/^$|^image\/|octet-stream$/.test(file.type);

// What is still missing, in words; null if the job can be posted.
export const missing = computed(() => {
  if (wantsModel.value && modelIds.value.filter(modelOf).length === 0) return "Choose a model.";
  if (kindId.value === "classify" && modelIds.value.length < 2) return "Choose two models or more.";
  if (kindId.value === "inpaint" && !presentHole.value?.share) return "Paint over what should go.";
  if (kindId.value === "inpaint" && presentHole.value.share === 1) return "Leave something to paint from.";
  if (kindId.value === "sample" && unpainted.value) return `Paint where ${unpainted.value} is drawn, or choose “No mask” for it.`;
  if (wantsPictures.value && pictureCount.value === 0) return "Add a picture.";
  const other = wantsPictures.value && !dataset.value && files.value.find(isNoPicture);
  if (other) return `Remove ${other.file.name}, or choose others: it is not a picture.`;
  const refused = wantsPictures.value && !dataset.value && files.value.find(({ file }) => problems.value.some((one) => one.file === file.name));
  if (refused) return `Remove ${refused.file.name}, or choose others: the service refused it.`;
  if (notNumbers.value.length) return `Write a number at ${notNumbers.value.join(", ")}.`;
  if (isMaterial.value) return "Choose pictures: the maps of a material are learned as a texture, and together.";
  if (toBeTileable.value) return toBeTileable.value;
  if (takesMaps.value && !dataset.value && withoutRole()) return `Say at “This is” which map of the material ${withoutRole().file.name} is, or remove it.`;
  return null;
});

// The name of an added model that would be drawn nowhere, for nothing is painted on its mask; undefined if there is none.
const unpainted = computed(() => {
  const model = modelOf(modelIds.value[0]);
  const found = canBlend(model) && blendOf(model).find(({ mask }) => mask?.paint?.isEmpty);
  return found ? modelName(modelOf(found.modelId)) : undefined;
});

// The names of what steers nothing as it stands, though it was chosen.
export const unused = computed(() => {
  const model = kindId.value === "sample" && modelOf(modelIds.value[0]);
  return model ? unusedNames(model) : [];
});

// The settings in which something else than a number was typed.
const notNumbers = computed(() => [
  ...Object.entries(overrides.value).filter(([, value]) => Number.isNaN(value)).map(([name]) => words(name)),
  ...(kindId.value === "sample" && blend.value.some(({ weight }) => Number.isNaN(weight)) ? ["weight"] : []),
  ...(kindId.value === "sample" && Object.values(pictures.value).some((one) => Number.isNaN(one?.strength)) ? ["strength"] : []),
]);

// The pictures whose size is known here.
const sized = computed(() => (dataset.value
  ? dataset.value.images.map(({ url, filename, width, height }) => ({ key: url, name: filename, size: [width, height] }))
  : files.value.filter(({ bitmap }) => bitmap).map(({ id, file, bitmap, fitted }) => ({ key: id, name: file.name, size: (sideNeeded.value && fitted?.size) ?? [bitmap.width, bitmap.height] }))));

export const sizes = computed(() => sized.value.map(({ size }) => size));

export const ENLARGED = 1.25; // times, from which on a picture is said to be enlarged; as in worker/picture_warnings.py

// The pictures that would be enlarged to be learned: {names, times, side}, with the size at which none would be, or
// about the smallest that the settings allow; null if there are none.
export const enlarged = computed(() => {
  if (kind.value.group !== "learn" || !preset.value) return null;
  const params = { ...preset.value.params, ...overrides.value };
  const asked = params.image_size;
  const small = sized.value.filter(({ size }) => asked >= ENLARGED * Math.min(...size));
  const side = Math.min(...small.flatMap(({ size }) => size));
  return small.length ? { names: small.map(({ name }) => name), times: asked / side, side: learnableSize(params, side) } : null;
});

const FEW_OF_OBJECT = 5; // pictures; as in worker/picture_warnings.py

// How many pictures of an object there are, if they are too few to learn it from; null if they are not, or if a zip may
// have more.
export const few = computed(() => {
  const number = pictureCount.value;
  const learnsObject = kind.value.group === "learn" && preset.value && { ...preset.value.params, ...overrides.value }.top === "object";
  return learnsObject && number > 0 && number < FEW_OF_OBJECT && !files.value.some(({ file }) => isZip(file)) ? number : null;
});

// What is to be done with the first picture that cannot be made tileable; null if all can, as far as can be seen here.
const toBeTileable = computed(() => {
  const side = sideNeeded.value;
  if (!side) return null;
  const chosen = sized.value;
  const transparent = chosen.find(({ key }) => opaque.value[key] === false);
  if (transparent) return `Choose an opaque photograph: ${transparent.name} has transparent parts, which “Fill in” can paint.`;
  const wrong = chosen.find(({ size }) => !fitsSide(size, side));
  return wrong ? `Crop or scale ${wrong.name}: this model works on photographs whose shorter side is ${side} pixels.` : null;
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
    const steered = kindId.peek() === "sample" ? await steeringParams(modelOf(modelIds.peek()[0]), (made) => notes.push(...notesOf(made))) : {};
    const job = await create(bodyOf(set, steered));
    if (set && set === uploaded.peek()?.set) showStored(set);
    if (kind.peek().group === "learn") newName.value = "";
    return { job, notes };
  } catch (error) {
    if (error instanceof Refused) {
      error.errors = error.errors.map((one) => ({ ...one, field: withModelNames(one.field), message: withModelNames(one.message) }));
      problems.value = error.errors;
    }
    if (error.absent) letGo(error.absent);
    throw error;
  } finally {
    sent.value = null;
  }
}

// The models of a classification, which the service numbers, by their names.
const withModelNames = (text) => text?.replace(/model_ids\[(\d+)\]/g, (_, index) => `“${modelName(modelOf(modelIds.peek()[index]))}”`);

// Choose no more what was deleted since.
function letGo(id) {
  modelIds.value = modelIds.peek().filter((one) => one !== id);
  if (dataset.peek()?.id === id) dataset.value = null;
  if (uploaded.peek()?.set.id === id) uploaded.value = null;
  letGoPictures(id);
}

// The job has these pictures: from now on they are a stored set.
function showStored(set) {
  batch(() => {
    dataset.value = set;
    files.value = [];
    roles.value = {};
    uploaded.value = null;
  });
}

async function stored() {
  if (kindId.peek() === "inpaint") {
    const { mask, picture, name } = presentHole.peek();
    return { set: await createDataset([pngFile(await mask.pierced(picture), name)]), notes: [] };
  }
  if (!wantsPictures.peek() || dataset.peek()) return { set: dataset.peek(), notes: [] };
  const set = storedFiles.peek() ?? (await storeFiles());
  return { set, notes: notesOf(set) };
}

// The files stay as they are, so that more can be added and painted over if the job is refused.
async function storeFiles() {
  sent.value = 0;
  const from = choice.peek();
  const chosen = await Promise.all(files.peek().map(sentFile));
  const report = (share) => {
    sent.value = share;
  };
  const set = await createDataset(chosen, null, report, takesMaps.peek() ? rolesByName() : {});
  uploaded.value = { set, from };
  return set;
}

// The file that is sent of a picture.
async function sentFile({ id, file, bitmap, fitted, left }) {
  if (sideNeeded.peek()) return fitted?.file ?? file;
  const whole = !left || left.paint.isEmpty || !learnsParts.peek() || roles.peek()[id];
  return whole ? file : await learnedPart(bitmap, left.paint, file.name);
}

function rolesByName() {
  const named = files.peek().filter(({ id }) => roles.peek()[id]);
  return Object.fromEntries(named.map(({ id, file }) => [file.name, roles.peek()[id]]));
}

function bodyOf(set, steered) {
  const params = overrides.peek();
  if (kind.peek().group === "learn") {
    const name = newName.peek().trim() || defaultName.peek();
    return { kind: "train", dataset_id: set.id, preset: preset.peek().name, model_name: name, params };
  }
  const models = kindId.peek() === "classify" ? { model_ids: modelIds.peek() } : { model_id: modelIds.peek()[0] };
  const pictures = set && kindId.peek() !== "sample" ? { dataset_id: set.id } : {};
  return { kind: jobKind(kind.peek()), ...models, ...pictures, params: { ...params, ...kind.peek().params, ...steered } };
}
