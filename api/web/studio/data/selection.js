// The pictures that were chosen in the gallery, to download or to hold beside each other.

import { signal } from "../ui.js";

export const ZIP_MOST = 500; // pictures that one zip of the service holds

export const chosen = signal(new Map()); // id -> {id, jobId, artifact}

export function toggle(picture) {
  const next = new Map(chosen.peek());
  if (!next.delete(picture.id)) next.set(picture.id, picture);
  chosen.value = next;
}

export function chooseAll(pictures) {
  chosen.value = new Map(pictures.map((one) => [one.id, one]));
}

export const clear = () => {
  chosen.value = new Map();
};

// The address of a zip of the pictures.
export const zipOf = (pictures) => `v1/artifacts.zip?${new URLSearchParams(pictures.map((one) => ["artifact", one.id]))}`;
