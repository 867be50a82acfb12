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

// The picture of the user that a result is to be compared with, or null: the one that it was made from, or for new
// pictures the first that the model learned from, or the map of the same role.
export async function originalOf(job, name) {
  const [, kind, number] = /^(\w+)-(\d+)/.exec(name) ?? [];
  if (job.kind === "train" && kind === "reconstructed") return await imageOf(job.dataset_id, Number(number));
  if (job.kind === "train") return await imageOf(job.dataset_id, 0, roleOf({ name }));
  if (job.kind === "reconstruct") return await imageOf(job.dataset_id, Number(number));
  if (job.kind === "inpaint") return await imageOf(job.dataset_id, Math.floor(Number(number) / job.params.count));
  const trained = await trainingJob(job.model_id);
  return trained ? await imageOf(trained.dataset_id, 0, roleOf({ name })) : null;
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

// The picture of a dataset at a place, or the map of a role; null if it is not there.
export async function imageOf(datasetId, index = 0, role = null) {
  const set = datasetId ? await ifThere(datasetOf(datasetId)) : null;
  const wanted = set?.maps.find((one) => one.role === role)?.index ?? index;
  return set?.images.find((image) => image.index === wanted) ?? null;
}

// An <img> that can be drawn.
export async function loaded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}
