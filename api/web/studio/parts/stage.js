// The chains as they learn: the latest picture of them, and a scrubber over those before.

import { html } from "../ui.js";
import { aboutStage, isFinal, partOfLearning } from "../data/jobs.js";
import { loadPreviews, previewsOf } from "../data/series.js";
import { addressOf, resultsOf, roleOf } from "../data/pictures.js";
import { Film } from "./film.js";
import { inBackground } from "./notices.js";

const RESULT = "The result. The model can draw more of it, at any size.";

export function Stage({ job }) {
  const about = job.params.canvas_iterations ? (frame) => (frame.result ? RESULT : aboutStage(job, frame.stage)) : null;
  return html`
    <${Film} frames=${framesOf(job)} words=${(frame) => words(frame, job)} about=${about} waiting=${waiting(job)} alt=${(frame) => (frame.result ? "The result" : `The chains at step ${frame.iteration}`)} label="Moment of learning"
      playLabel="Play how it was learned" live=${!isFinal(job) || job.unread} onFocus=${() => inBackground(() => loadPreviews(job.id))} />`;
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

const words = (frame, job) => (frame.result ? "result" : `${partOfLearning(job, frame.stage)}step ${frame.iteration.toLocaleString("en")}`);

function waiting(job) {
  if (job.status === "queued") return "The chains start when a worker is free. You may close the page: the job goes on without it.";
  if (job.status === "running") return "The chains begin as noise. The first picture of them comes in a few seconds.";
  return "There is no picture of the chains.";
}

