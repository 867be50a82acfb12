// How pictures went down to their attractors, each as a film.

import { html } from "../ui.js";
import { modelOf } from "../data/models.js";
import { addressOf } from "../data/pictures.js";
import { count } from "../format.js";
import { Film } from "./film.js";

const FRAME = /^walk-(\d+)-(\d+)\.png$/;

export function Walks({ job }) {
  const walks = walksOf(job);
  if (!walks.length) return null;
  const words = (frame) => (frame.step === null ? "" : count(frame.step, "step"));
  return html`
    <section aria-labelledby="walks-title">
      <h2 id="walks-title">${walks.length === 1 ? "The walk to the picture that the model remembers (its attractor)" : "The walks to the pictures that the model remembers (their attractors)"}</h2>
      ${remembersNone(modelOf(job.model_id)) && html`<p class="hint">A texture's model remembers no picture: its walks end at local maxima of its density, which are not meant to look good. Models of objects remember.</p>`}
      <div class="walks">
        ${walks.map(({ name, frames }) => html`
          <figure key=${name}>
            <${Film} frames=${frames} words=${words} alt=${(frame) => `${name} after ${words(frame)}`} label=${`Moment of the walk of ${name}`} playLabel=${`Play the walk of ${name}`} />
            <figcaption class="hint">${name}</figcaption>
          </figure>`)}
      </div>
    </section>`;
}

const remembersNone = (model) => model?.params.top === "convolutional" && !model.params.contrastive;

// The frames of each picture in their order: [{name, frames: [{url, width, height, step}]}].
function walksOf(job) {
  const walks = [];
  const found = job.artifacts.filter((one) => FRAME.test(one.name)).sort((one, other) => one.name.localeCompare(other.name));
  for (const artifact of found) {
    const [picture, number] = FRAME.exec(artifact.name).slice(1).map(Number);
    const about = job.metrics.reconstructions?.[picture];
    walks[picture] ??= { name: about?.filename ?? `picture ${picture + 1}`, frames: [] };
    walks[picture].frames.push({ url: addressOf(artifact), width: artifact.width, height: artifact.height, step: about?.frames?.[number] ?? null });
  }
  return walks.filter(Boolean);
}
