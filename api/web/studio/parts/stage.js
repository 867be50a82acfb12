// The chains as they learn: the latest picture of them, and a scrubber over those before.

import { html, useEffect, useSignal } from "../ui.js";
import { isFinal } from "../data/jobs.js";
import { loadPreviews, previewsOf } from "../data/series.js";
import { addressOf } from "../data/pictures.js";
import { Icon } from "./icon.js";
import { attempt } from "./notices.js";
import { Changing } from "./picture.js";

const FRAME_MS = 160;

export function Stage({ job }) {
  const frames = framesOf(job);
  const at = useSignal(null); // null follows the latest
  const playing = useSignal(false);
  const last = frames.length - 1;
  const shown = frames[Math.min(at.value ?? last, last)];
  useEffect(() => {
    if (!playing.value) return;
    const timer = setInterval(() => {
      const next = (at.peek() ?? last) + 1;
      if (next > last) playing.value = false;
      else at.value = next;
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [playing.value, last]);
  if (!shown) return html`<div class="stage"><div class="stage-picture waiting"><p>${waiting(job)}</p></div></div>`;
  const play = () => {
    if (!playing.value && (at.value ?? last) >= last) at.value = 0;
    playing.value = !playing.value;
  };
  const scrub = (event) => {
    playing.value = false;
    const chosen = Number(event.target.value);
    at.value = chosen === last ? null : chosen;
  };
  return html`
    <div class="stage">
      <div class="stage-picture">
        <${Changing} src=${shown.url} alt=${`The chains at step ${shown.iteration}`} width=${shown.width} height=${shown.height} />
      </div>
      ${frames.length > 1 && html`
        <div class="scrubber">
          <button type="button" class="bare" onClick=${play} aria-label=${playing.value ? "Stop" : "Play how it was learned"}><${Icon} name=${playing.value ? "pause" : "play"} /></button>
          <input type="range" min="0" max=${last} value=${Math.min(at.value ?? last, last)} aria-label="Moment of learning"
            aria-valuetext=${words(shown, job)} onInput=${scrub} onFocus=${() => attempt(() => loadPreviews(job.id))} />
          <output>${at.value === null && !isFinal(job) ? "live" : words(shown, job)}</output>
        </div>`}
    </div>`;
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

