// What a job works on: the latest picture of it, and a scrubber over those before.

import { html } from "../ui.js";
import { aboutStage, isFinal, partOfLearning } from "../data/jobs.js";
import { loadPreviews, previewsOf } from "../data/series.js";
import { addressOf, resultsOf, roleOf } from "../data/pictures.js";
import { Film } from "./film.js";
import { inBackground } from "./notices.js";

const RESULT = "The result. The model can draw more of it, at any size.";

// Whether a job has a stage. Once it has drawn what it was to draw, that takes the place of the previews, which are gone.
export const hasStage = (job) => job.kind === "train" || (DRAWING.has(job.kind) && (!isFinal(job) || job.unread || (job.status !== "succeeded" && framesOf(job).length > 0)));

const DRAWING = new Set(["sample", "inpaint"]);

export function Stage({ job }) {
  const learning = job.kind === "train";
  const { coarse_iterations: coarse, canvas_iterations: canvas } = job.params;
  const about = coarse || canvas ? (frame) => (frame.result ? (canvas ? RESULT : "") : aboutStage(job, frame.stage)) : null;
  return html`
    <${Film} frames=${framesOf(job)} words=${(frame) => words(frame, job)} about=${about} waiting=${waiting(job)} alt=${(frame) => (frame.result ? "The result" : `The ${learning ? "chains" : "picture"} at step ${frame.iteration}`)} label=${learning ? "Moment of learning" : "Moment of drawing"}
      playLabel=${learning ? "Play how it was learned" : "Play how it is drawn"} live=${!isFinal(job) || job.unread} onFocus=${() => inBackground(() => loadPreviews(job.id))} />`;
}

// The previews kept, and behind them the result, or if there is none yet the latest preview.
function framesOf(job) {
  const kept = previewsOf(job.id).value;
  const results = job.status === "succeeded" ? resultsOf(job).filter((one) => one.name.startsWith("synthesized-")) : [];
  if (results.length) return [...kept, resultFrame(results)];
  if (kept.length) return kept;
  const latest = job.artifacts.find((one) => one.name === "preview.png");
  return latest ? [{ url: addressOf(latest), width: latest.width, height: latest.height, stage: job.progress.stage, iteration: job.progress.iteration }] : [];
}

// The result, laid out as the worker lays out previews: in a square, or the maps of each material in a row.
function resultFrame(results) {
  const pictures = results.map((one) => ({ url: addressOf(one), width: one.width, height: one.height }));
  const maps = new Set(results.map(roleOf)).size;
  return pictures.length > 1 ? { result: true, pictures, columns: maps > 1 ? maps : Math.ceil(Math.sqrt(pictures.length)) } : { result: true, ...pictures[0] };
}

const words = (frame, job) => (frame.result ? "result" : `${partOf(job, frame.stage)}step ${frame.iteration.toLocaleString("en")}`);

// The stage that a frame is of, or which picture, followed by a comma.
function partOf(job, stage) {
  if (job.kind === "train") return partOfLearning(job, stage);
  return job.progress.stages > 1 ? `picture ${stage}, ` : "";
}

function waiting(job) {
  if (job.kind !== "train") return job.status === "queued" ? "The picture is begun when a worker is free. You may close the page: the job goes on without it." : "The picture appears here as it is drawn.";
  if (job.status === "queued") return "The chains start when a worker is free. You may close the page: the job goes on without it.";
  if (job.status === "running") return "The chains begin as noise. The first picture of them comes in a few seconds.";
  return "There is no picture of the chains.";
}

