// What can be done with a job now.

import { fileOf } from "../api.js";
import { html } from "../ui.js";
import { go, link } from "../router.js";
import { createDataset } from "../data/datasets.js";
import { overrideAll } from "../data/draft.js";
import { cancel, create, discard, isFinal, resume } from "../data/jobs.js";
import { isFixedSize, modelOf } from "../data/models.js";
import { addressOf, numberOf, resultsOf, subjectOf } from "../data/pictures.js";
import { loadSchemas, parametersOf } from "../data/presets.js";
import { blendAs, steer } from "../data/steering.js";
import { askFor, confirm, prompt } from "./dialog.js";
import { Icon } from "./icon.js";
import { attempt, say } from "./notices.js";

export function JobActions({ job }) {
  const final = isFinal(job) && !job.unread;
  const model = modelOf(job.model_id);
  const act = (work) => () => attempt(work);
  const more = final && model && hasMoreLikeThis(job) && html`<button type="button" class=${isOfGiven(job) ? "primary" : ""} onClick=${act(() => moreLikeThis(job))}><${Icon} name="dice" />More like this</button>`;
  return html`
    <div class="actions ${final ? "" : "fewer"}">
      ${!isFinal(job) && html`<button type="button" onClick=${act(() => cancel(job.id))}><${Icon} name="close" />Cancel</button><p class="hint">${GOES_ON}</p><p class="hint">${AFTERWARDS[job.kind] ?? WHEN_DONE}</p>`}
      ${isOfGiven(job) && more}
      ${final && model && !job.params.blend && html`<a class="button ${isOfGiven(job) ? "wide" : "primary"}" href=${link("make", "sample", { model: model.id })}><${Icon} name="plus" />${isFixedSize(model) ? "Draw more" : "Draw more, any size"}</a>`}
      ${final && model && job.params.blend && html`<button type="button" class="primary" onClick=${act(() => blendMore(job))}><${Icon} name="plus" />Draw more, any size</button>`}
      ${!isOfGiven(job) && more}
      ${(job.status === "failed" || job.status === "canceled") && html`<button type="button" onClick=${act(() => goOn(job))}><${Icon} name="play" />Resume</button>`}
      ${final && job.status === "succeeded" && job.kind === "train" && html`<button type="button" onClick=${act(() => goFurther(job))}><${Icon} name="next" />Go further</button>`}
      ${final && html`<button type="button" onClick=${act(() => again(job))}><${Icon} name="again" />Make again</button>`}
      ${final && job.artifacts.length > 0 && html`<a class="button" href=${`v1/jobs/${job.id}/artifacts.zip`} download><${Icon} name="download" />All files</a>`}
      ${final && html`<button type="button" class="quietly" onClick=${act(() => bin(job))}><${Icon} name="bin" />Delete</button>`}
    </div>`;
}

const GOES_ON = "You may close the page: the job goes on.";
const WHEN_DONE = "When it is done, its pictures are here and in the gallery.";
const AFTERWARDS = {
  train: "When it is done, its model draws new pictures, and can learn further. If it is canceled, it can be resumed from where it was kept last.",
  classify: "When it is done, it says here which model each picture comes from.",
};

// Whether it was made from pictures of the user: more like it is made from the same pictures.
const isOfGiven = (job) => ["inpaint", "reconstruct", "classify"].includes(job.kind);

// Whether another seed makes other pictures: what a model sees in a picture is always the same.
export const hasMoreLikeThis = (job) => Boolean(job.model_id) && !["reconstruct", "classify"].includes(job.kind);

// The same job with another seed; if it learned, new pictures by its model.
export async function moreLikeThis(job) {
  const { seed, ...params } = job.params;
  const made = await create(job.kind === "train" ? drawnBy(job) : { ...requestOf(job), params });
  go("jobs", made.id);
}

function drawnBy(job) {
  const count = resultsOf(job).length / (modelOf(job.model_id)?.maps.length || 1);
  return { kind: "sample", model_id: job.model_id, params: { count: Math.max(1, Math.min(count, 4)) } };
}

// The form on Make with the job's models, masks, weights and size in it.
async function blendMore(job) {
  const { width, height, tileable } = job.params;
  if (!(await blendAs(job))) say("A mask was deleted, and its model is left out. Add it again, with another mask.", "noted");
  overrideAll({ width, height, tileable }, "sample");
  go("make", "sample", { model: job.model_id });
}

// Pictures of the same models that begin from this one: as near to it as the user wants.
export async function variationsOf(job, artifact) {
  await loadSchemas();
  const asked = ["start_strength", "count"].map((name) => parametersOf("sample").find((one) => one.name === name));
  await askFor("Variations", asked, "Draw", (given) => vary(job, artifact, given));
}

async function vary(job, artifact, given) {
  const picture = await fileOf(addressOf(artifact), artifact.name);
  const start = await createDataset([picture], `${subjectOf(job)}, picture ${numberOf(artifact) + 1}`);
  const size = isFixedSize(modelOf(job.model_id)) ? {} : { width: artifact.width, height: artifact.height };
  const blended = job.kind === "sample" && job.params.blend ? { blend: job.params.blend } : {};
  const params = { ...size, ...blended, start_dataset_id: start.id, ...given };
  const made = await create({ kind: "sample", model_id: job.model_id, params });
  go("jobs", made.id);
}

// New pictures of the same model that follow this one.
export async function followIn(job, artifact) {
  await steer("guide", await fileOf(addressOf(artifact), artifact.name));
  go("make", "sample", { model: job.model_id, part: "guide" });
}

// The same parameters and seed again, which make the same pictures.
export async function again(job) {
  const made = await create(requestOf(job));
  go("jobs", made.id);
}

// What was asked for, to ask for it again.
function requestOf(job) {
  const { model_ids, ...params } = job.params;
  const body = { kind: job.kind, params };
  if (job.preset) body.preset = job.preset;
  if (job.kind === "classify") body.model_ids = model_ids;
  else if (job.kind !== "train") body.model_id = job.model_id;
  if (job.dataset_id) body.dataset_id = job.dataset_id;
  return body;
}

async function goOn(job) {
  await resume(job.id);
  say(job.continues_from === "start" ? "It starts anew: nothing was kept yet." : "It goes on from where it was kept last.");
}

async function goFurther(job) {
  const name = job.params.canvas_iterations ? "canvas_iterations" : "iterations"; // of the last stage
  const iterations = job.params[name];
  const done = job.progress.iteration; // fewer than its iterations if it ended early
  const offered = done < iterations ? iterations : Math.round(iterations * 1.5);
  const where = job.params.canvas_iterations ? " on the canvas" : "";
  await prompt("Go further", `Steps in all${where}; it has done ${done.toLocaleString("en")}`, offered, "Learn on", (wanted) => resume(job.id, { [name]: Number(wanted) }), "number");
}

async function bin(job) {
  if (!(await confirm("Delete this job?", "Its pictures and files are deleted for good. The model that it learned stays.", "Delete"))) return;
  await discard(job.id);
  go("jobs");
}
