// The sets of pictures that were uploaded, newest first.

import { get, upload } from "../api.js";
import { signal } from "../ui.js";

export const datasets = signal(null); // the newest page; null until it is read
const byId = new Map(); // id -> promise of the dataset
const names = new Map(); // id -> what it is called; of all that were read

export async function loadDatasets() {
  const { data } = await get("v1/datasets?limit=30");
  data.forEach(know);
  datasets.value = data;
}

function know(set) {
  byId.set(set.id, Promise.resolve(set));
  names.set(set.id, datasetName(set));
}

export function datasetOf(id) {
  if (!byId.has(id)) {
    const asked = get(`v1/datasets/${id}`);
    asked.then(know, () => byId.delete(id));
    byId.set(id, asked);
  }
  return byId.get(id);
}

// Forget a set that is not on the service any more. Returns what it was called; undefined if it was never read.
export function forgetDataset(id) {
  byId.delete(id);
  datasets.value = datasets.peek()?.filter((one) => one.id !== id) ?? null;
  return names.get(id);
}

// Store files as a set. roles: file name -> role, if they are the maps of a material. Returns it with `skipped`, what
// was in a zip and is no picture.
export async function createDataset(files, name, report, roles = {}) {
  const form = new FormData();
  for (const file of files) form.append("images", file, file.name);
  if (name) form.append("name", name);
  if (Object.keys(roles).length) form.append("maps", JSON.stringify(roles));
  const made = await upload("v1/datasets", form, report);
  know(made);
  datasets.value = [made, ...(datasets.peek() ?? [])];
  return made;
}

// What pictures lost when they were stored, and what was not stored, in sentences.
export function notesOf({ images, skipped }) {
  const lost = images.filter((one) => one.notes.length).map((one) => `${one.filename}: ${one.notes.join("; ")}`);
  const left = skipped.map((one) => `${one.file} (${one.reason})`);
  return left.length ? [...lost, `Skipped: ${left.join(", ")}`] : lost;
}

// As the service calls several pictures.
export const pictureNames = ([first, ...others]) => (others.length ? `${first} and ${others.length} more` : first);
export const datasetName = (set) => set.name || pictureNames(set.images.map(({ filename }) => filename));
export const thumbnail = (picture) => picture.thumbnail_url;
