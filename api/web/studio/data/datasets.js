// The sets of pictures that were uploaded, newest first.

import { get, upload } from "../api.js";
import { signal } from "../ui.js";

export const datasets = signal(null); // the newest page; null until it is read
const byId = new Map(); // id -> promise of the dataset

export async function loadDatasets() {
  const { data } = await get("v1/datasets?limit=30");
  data.forEach((one) => byId.set(one.id, Promise.resolve(one)));
  datasets.value = data;
}

export function datasetOf(id) {
  if (!byId.has(id)) {
    const asked = get(`v1/datasets/${id}`);
    asked.catch(() => byId.delete(id));
    byId.set(id, asked);
  }
  return byId.get(id);
}

// Store files as a set. roles: file name -> role, if they are the maps of a material. Returns it with `skipped`, what
// was in a zip and is no picture.
export async function createDataset(files, name, report, roles = {}) {
  const form = new FormData();
  for (const file of files) form.append("images", file, file.name);
  if (name) form.append("name", name);
  if (Object.keys(roles).length) form.append("maps", JSON.stringify(roles));
  const made = await upload("v1/datasets", form, report);
  byId.set(made.id, Promise.resolve(made));
  datasets.value = [made, ...(datasets.peek() ?? [])];
  return made;
}

export const datasetName = (set) => set.name || (set.images.length === 1 ? set.images[0].filename : `${set.images[0].filename} and ${set.images.length - 1} more`);
export const thumbnail = (picture) => picture.thumbnail_url;
