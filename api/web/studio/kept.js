// What is filled in on Make, kept for this tab over a reload: settings, the ids of what is stored, and what was painted.
// Of files that are not on the service yet only the examples are read again; the page says so. It belongs to the key that was
// signed in.

import { ifThere, locked, patiently } from "./api.js";
import { take } from "./parts/inpainting.js";
import { Mask } from "./parts/mask.js";
import { effect } from "./ui.js";
import { route } from "./router.js";
import { key } from "./session.js";
import * as draft from "./data/draft.js";
import { datasetOf } from "./data/datasets.js";
import { exampleFiles, isExample } from "./data/examples.js";
import { modelOf, models } from "./data/models.js";
import { loaded } from "./data/pictures.js";
import * as steering from "./data/steering.js";

const KEY = "genconvnet-make";
const VERSION = new URL(".", import.meta.url).href; // another version of the page may know other settings

const kept = read();

// Fill in the settings that were kept: before the first view, whose address may ask for others.
export function fillIn() {
  if (!kept) return;
  draft.kindId.value = kept.kind;
  draft.presetName.value = kept.preset;
  draft.newName.value = kept.name;
  draft.modelIds.value = kept.models;
  draft.changes.value = kept.changes;
}

// Read again from the service what else was kept, unless it is another key's; from then on keep what changes.
export async function startKeeping() {
  await known(() => key.value !== undefined);
  if (kept && kept.key !== keyId()) draft.beginAnew();
  else if (kept) {
    await Promise.all([restoreDataset, restoreExamples, restoreSteering, restoreHole].map((restore) => patiently(() => restore(kept)).catch(() => {})));
    draft.lostPictures.value = kept.unsent + (draft.pictureCount.peek() ? 0 : kept.examples.length);
  }
  effect(() => {
    if (locked.value) return;
    const text = JSON.stringify(state(), (_, value) => (Number.isNaN(value) ? undefined : value));
    try {
      sessionStorage.setItem(KEY, text);
    } catch {
      // the browser keeps nothing for this page, or nothing more
    }
  });
}

export const forgetKept = () => sessionStorage.removeItem(KEY);

function read() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY));
    return found?.version === VERSION ? found : null;
  } catch {
    return null;
  }
}

const keyId = () => key.peek()?.id ?? null;

function state() {
  const hole = draft.hole.value;
  const unsent = draft.storedFiles.value ? [] : draft.files.value;
  const examples = unsent.filter(isExampleAsItIs);
  return {
    version: VERSION,
    key: keyId(),
    kind: draft.kindId.value,
    preset: draft.presetName.value,
    name: draft.newName.value,
    models: draft.modelIds.value,
    changes: draft.changes.value,
    dataset: (draft.dataset.value ?? draft.storedFiles.value)?.id ?? null,
    examples: examples.map(({ file }) => file.name),
    unsent: unsent.length - examples.length + draft.lostPictures.value,
    pictures: Object.fromEntries(Object.entries(steering.pictures.value).filter(([, one]) => one.datasetId).map(([slot, { datasetId, strength }]) => [slot, { datasetId, strength }])),
    blend: steering.blend.value.filter(isKept).map(({ mask, ...one }) => ({ ...one, mask: mask && keptMask(mask) })),
    hole: hole?.url ? { modelId: hole.modelId, url: hole.url, name: hole.name, painted: hole.mask.address } : null,
  };
}

const isExampleAsItIs = ({ file, fitted, left }) => isExample(file) && !fitted && !left;

// A model is not kept without its mask: it would be drawn everywhere.
const isKept = ({ mask }) => !mask || mask.paint || mask.datasetId;
const keptMask = ({ name, datasetId, paint }) => (paint ? { name, datasetId, painted: paint.address } : { datasetId });

async function restoreDataset({ dataset }) {
  const set = dataset && (await ifThere(datasetOf(dataset)));
  if (set && !draft.pictureCount.peek()) draft.dataset.value = set;
}

async function restoreExamples({ examples }) {
  const files = await exampleFiles({ files: examples });
  if (files.length && !draft.pictureCount.peek()) await draft.addFiles(files);
}

async function restoreSteering({ pictures, blend }) {
  const empty = steering.blend.peek();
  const slots = await Promise.all(Object.entries(pictures).map(async ([slot, { datasetId, strength }]) => {
    const picture = await steering.storedPicture(datasetId);
    return picture ? [[slot, { ...picture, strength }]] : [];
  }));
  steering.pictures.value = { ...Object.fromEntries(slots.flat()), ...steering.pictures.peek() };
  const masks = await Promise.all(blend.map(({ mask }) => mask && restoredMask(mask)));
  if (steering.blend.peek() !== empty) return; // it was changed meanwhile
  steering.blend.value = blend.map((one, index) => ({ ...one, mask: masks[index] })).filter(({ mask }, index) => mask || !blend[index].mask);
}

async function restoredMask({ name, datasetId, painted }) {
  if (!painted) return await steering.storedPicture(datasetId);
  const before = await decoded(painted);
  const paint = new Mask(before.width, before.height);
  paint.takePainted(before);
  return { name, datasetId, paint };
}

async function restoreHole({ hole }) {
  const { job, name } = route.peek().query;
  const other = job && hole?.url !== `v1/jobs/${job}/artifacts/${name}`; // the address asks for another picture
  if (!hole || other) return;
  const [source, painted] = await Promise.all([loaded(hole.url), decoded(hole.painted)]);
  await known(() => models.value);
  const model = modelOf(draft.modelIds.peek()[0]) ?? modelOf(hole.modelId); // another may have been chosen meanwhile
  if (model && !draft.presentHole.peek()?.share) take(model, source, hole, painted);
}

// The picture in a data: address, which the page's policy lets no <img> load.
const decoded = (address) => createImageBitmap(new Blob([Uint8Array.from(atob(address.split(",")[1]), (one) => one.charCodeAt(0))]));

// Wait until what a condition reads from signals is there.
const known = (condition) => new Promise((resolve) => {
  effect(() => {
    if (condition()) resolve();
  });
});
