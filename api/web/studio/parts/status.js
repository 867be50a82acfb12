// A job's state in words.

import { html } from "../ui.js";
import { count, duration } from "../format.js";
import { certaintyOf } from "../data/certainty.js";
import { isFinal, isFinishing, jobOf, partOfLearning } from "../data/jobs.js";
import { kindOfJob } from "../data/kinds.js";
import { modelName, modelOf } from "../data/models.js";
import { purposeOf } from "../data/presets.js";

const WORDS = { queued: "waiting", running: "at work", succeeded: "done", failed: "failed", canceled: "canceled" };

export const Status = ({ job }) => html`<span class="status ${job.status}">${WORDS[job.status]}</span>`;

const LEARN = { texture: "Learn a texture", object: "Learn an object", autoencoder: "Learn an auto-encoder", dictionary: "Learn a dictionary" };

export function titleOf(job) {
  if (job.kind === "train") return LEARN[purposeOf(job.params)];
  return kindOfJob(job).title;
}

// Which pictures and models it is made from.
export function subtitleOf(job) {
  const pictures = job.dataset_id ? [job.dataset_name ?? "deleted pictures"] : [];
  if (job.kind === "train") return [`from ${pictures}`, job.preset].filter(Boolean).join(" · ");
  const ids = [...(job.params.model_ids ?? []), job.model_id, ...(job.params.blend ?? []).map((one) => one.model_id)].filter(Boolean);
  const models = ids.map((id) => modelName(modelOf(id))).join(", ");
  return [...pictures, models && `by ${models}`, made(job)].filter(Boolean).join(" · ");
}

// How many new pictures, and how large.
function made({ kind, params: { count: number, width, height, start_dataset_id: start, end_dataset_id: end, guide_strength: strength } }) {
  if (kind !== "sample") return null;
  const begun = end ? ", from one picture to another" : start ? ", variations" : "";
  return `${number} of ${width} × ${height}${begun}${strength ? ", guided" : ""}`;
}

// What happens now, or what came out.
export function headline(job) {
  const { stage, stages, iteration, iterations, eta_seconds: left, silent } = job.progress;
  if (job.status === "queued") return `${job.queue_position ? `Number ${job.queue_position} in the queue` : "Waiting for a worker"}${runningBefore(job)}`;
  if (isFinishing(job)) return `Measuring and storing the results${silent ? `, ${SILENT}` : ""}`;
  const part = job.kind === "train" ? partOfLearning(job, stage, true) : stages > 1 ? `part ${stage} of ${stages}, ` : "";
  const step = `${part}step ${iteration.toLocaleString("en")} of ${iterations.toLocaleString("en")}`;
  if (job.status === "running") return `${iteration ? step : `${part}beginning`}${silent ? `, ${SILENT}` : left ? `, ${duration(left)} left` : ""}`;
  if (job.status === "failed") return job.error?.detail ?? "It failed.";
  if (job.status === "canceled") return iteration || stage > 1 ? `Stopped at ${step}` : "Stopped before its first step";
  return job.unread ? "Reading the results" : outcome(job);
}

// As on the command line (api/commands/following.py).
const ACTIVITIES = { train: "learning", sample: "drawing", reconstruct: "reconstructing", inpaint: "filling in", classify: "classifying" };
const SILENT = "its worker has not been heard from";

// What a queued job waits for. Of jobs that can be seen here, the time left is the latest; none if it is no longer known.
function runningBefore({ waits_for: jobs }) {
  const said = (jobs ?? []).map(({ id, kind, eta_seconds }) => {
    const seen = id && jobOf(id).value;
    const left = seen ? seen.progress.eta_seconds : eta_seconds;
    return `${ACTIVITIES[kind]}${left ? `, ${duration(left)} left` : ""}`;
  });
  return said.length ? `. At work now: ${said.join("; ")}` : "";
}

function outcome(job) {
  if (job.kind === "reconstruct") return `Mean error ${job.metrics.mean_rmse?.toFixed(1)} grey levels`;
  if (job.kind === "classify" && certaintyOf(job.metrics) === "undecided") return "Undecided";
  if (job.kind === "classify") return `${count(Object.values(job.metrics.most_likely ?? {}).reduce((sum, one) => sum + one, 0), "picture")} classified`;
  const pictures = job.artifacts.filter((one) => /^(synthesized|inpainted|reconstructed)-/.test(one.name)).length;
  return pictures ? `${pictures} ${pictures === 1 ? "picture" : "pictures"}` : "Without pictures";
}

export const Progress = ({ job }) => html`
  <progress class="progress ${isFinal(job) ? "over" : ""}" max="1" value=${job.status === "queued" ? 0 : job.progress.fraction} aria-label=${`Progress of ${titleOf(job)}`}></progress>`;
