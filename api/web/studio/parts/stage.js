// The chains as they learn: the latest picture of them, and a scrubber over those before.

import { html } from "../ui.js";
import { isFinal } from "../data/jobs.js";
import { loadPreviews, previewsOf } from "../data/series.js";
import { addressOf } from "../data/pictures.js";
import { Film } from "./film.js";
import { inBackground } from "./notices.js";

export function Stage({ job }) {
  const frames = framesOf(job);
  if (!frames.length) return html`<div class="stage"><div class="stage-picture waiting"><p>${waiting(job)}</p></div></div>`;
  return html`
    <${Film} frames=${frames} words=${(frame) => words(frame, job)} alt=${(frame) => `The chains at step ${frame.iteration}`} label="Moment of learning"
      playLabel="Play how it was learned" live=${!isFinal(job)} onFocus=${() => inBackground(() => loadPreviews(job.id))} />`;
}

// The previews kept, and behind them the latest one if it is newer.
function framesOf(job) {
  const kept = previewsOf(job.id).value;
  if (kept.length) return kept;
  const latest = job.artifacts.find((one) => one.name === "preview.png") ?? job.artifacts.find((one) => one.name.startsWith("synthesized-"));
  return latest ? [{ url: addressOf(latest), width: latest.width, height: latest.height, stage: job.progress.stage, iteration: job.progress.iteration }] : [];
}

const words = (frame, job) => `${job.progress.stages > 1 ? `layer ${frame.stage}, ` : ""}step ${frame.iteration.toLocaleString("en")}`;

function waiting(job) {
  if (job.status === "queued") return "The chains start when a worker is free. You may close the page: the job goes on without it.";
  if (job.status === "running") return "The chains begin as noise. The first picture of them comes in a few seconds.";
  return "There is no picture of the chains.";
}

