// The pictures that jobs made, and the photographs to hold beside them.

import { ifThere } from "../api.js";
import { drawCovering, pngOf } from "../canvas.js";
import { isOpaque } from "./fit.js";
import { givenName, isOfPatches, modelOf } from "./models.js";
import { nameAfter } from "./names.js";
import { artifactsChanged, loadJob, order, peek } from "./jobs.js";
import { datasetOf } from "./datasets.js";
import { computed } from "../ui.js";

const RESULT = /^(synthesized|inpainted|reconstructed)-/;

export const isResult = (artifact) => artifact.media_type === "image/png" && RESULT.test(artifact.name);
export const resultsOf = (job) => job.artifacts.filter(isResult).sort((one, other) => one.name.localeCompare(other.name));
export const addressOf = (artifact) => `${artifact.url}?${artifact.sha256.slice(0, 12)}`; // new content, new address
export const smallOf = (artifact) => `${artifact.thumbnail_url}?${artifact.sha256.slice(0, 12)}`;

const learnsPatches = ({ kind, params }) => kind === "train" && isOfPatches({ params });

// All results of the jobs read so far: [{id, jobId, artifact}], newest job first. The patches of a dictionary are no
// pictures of their own; they stay with their job.
export const gallery = computed(() => {
  artifactsChanged.value;
  return order.value.flatMap((id) => {
    const job = peek(id);
    return job && !learnsPatches(job) ? resultsOf(job).map((artifact) => ({ id: `${id}/${artifact.name}`, jobId: id, artifact })) : [];
  });
});

// Which map of a material a result is, such as "height"; null if it is a picture.
export const roleOf = (artifact) => /^synthesized-\d+-([a-z]+)\./.exec(artifact.name)?.[1] ?? null;

export const numberOf = ({ name }) => Number(/\d+/.exec(name));

// What a job's pictures are called after: the model that drew them, or the photographs that it changed.
export function subjectOf({ kind, model_id, model_name, dataset_name }) {
  const model = modelOf(model_id);
  if (model && ["train", "sample"].includes(kind)) return givenName(model);
  return model_name ?? (dataset_name ? nameAfter(dataset_name) : "Picture");
}

// The pictures of the user that a result can be compared with: the one that it was made from, or for new pictures those
// that the model learned from, or the map of the same role. Empty if they are not there.
export async function originalsOf(job, name) {
  const [, kind, number] = /^(\w+)-(\d+)/.exec(name) ?? [];
  if (job.kind === "train" && kind === "reconstructed") return await imagesOf(job.dataset_id, Number(number));
  if (job.kind === "train") return await imagesOf(job.dataset_id, null, roleOf({ name }));
  if (job.kind === "reconstruct") return await imagesOf(job.dataset_id, Number(number));
  if (job.kind === "inpaint") return await imagesOf(job.dataset_id, Math.floor(Number(number) / job.params.count));
  const trained = await trainingJob(job.model_id);
  return trained ? await imagesOf(trained.dataset_id, null, roleOf({ name })) : [];
}

// The size at which the model saw the picture that a result is compared with: that of the result if it is made of that
// picture, else of those that the model learned from.
export function sizeSeen({ kind, params, model_id }, { name, width, height }) {
  if (["inpaint", "reconstruct"].includes(kind) || name.startsWith("reconstructed")) return [width, height];
  const side = (kind === "train" ? params : modelOf(model_id).params).image_size;
  return [side, side];
}

// A picture of the user as the model saw it: {src, width, height, transparent}. src: a blob's address, to be revoked.
export async function asSeen({ url }, [width, height]) {
  const canvas = document.createElement("canvas");
  drawCovering(canvas, await loaded(url), [width, height], null);
  return { src: URL.createObjectURL(await pngOf(canvas)), width, height, transparent: !isOpaque(canvas) };
}

export async function trainingJob(modelId) {
  const id = modelOf(modelId)?.job_id;
  if (!id) return null;
  return peek(id) ?? (await ifThere(loadJob(id)));
}

// The pictures of a dataset: the one at a place, or the map of a role, or if neither is asked for or there are no maps,
// all of them.
async function imagesOf(datasetId, index = null, role = null) {
  const set = datasetId ? await ifThere(datasetOf(datasetId)) : null;
  if (!set) return [];
  const wanted = set.maps.find((one) => one.role === role)?.index ?? index;
  return wanted === null ? set.images : set.images.filter((image) => image.index === wanted);
}

// The picture of a dataset at a place; null if it is not there.
export const imageOf = async (datasetId, index = 0) => (await imagesOf(datasetId, index))[0] ?? null;

const MOST_COMPARED = 100; // pictures: more would take seconds to read
const THUMBNAIL_SIDE = 384; // pixels, the longer one; as LONGEST_SIDE in core/schemas/thumbnails.py

// Which of several pictures of the user one at an address is nearest to: by the root mean square of the differences of
// their pixels, at the size at which the model saw them. Of the first MOST_COMPARED, and of those that can be read; the first
// if none can.
export async function nearestOf(src, images, [width, height]) {
  const pixels = (source) => {
    const canvas = document.createElement("canvas");
    drawCovering(canvas, source, [width, height]);
    return canvas.getContext("2d").getImageData(0, 0, width, height).data;
  };
  const made = pixels(await loaded(src));
  const measured = await Promise.allSettled(images.slice(0, MOST_COMPARED).map(async (image) => {
    const small = (THUMBNAIL_SIDE * Math.min(image.width, image.height)) / Math.max(image.width, image.height) >= Math.max(width, height);
    return distance(made, pixels(await loaded(small ? image.thumbnail_url : image.url)));
  }));
  const distances = measured.map(({ value }) => value ?? Infinity);
  return images[distances.indexOf(Math.min(...distances))];
}

// Root mean square of the differences of two pictures as ImageData has them.
function distance(one, other) {
  let sum = 0;
  for (let at = 0; at < one.length; at += 1) if (at % 4 !== 3) sum += (one[at] - other[at]) ** 2;
  return Math.sqrt(sum / (0.75 * one.length));
}

// An <img> that can be drawn.
export async function loaded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}
