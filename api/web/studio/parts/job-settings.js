// The parameters that a job was made with, its seed first: kept with every picture.

import { html } from "../ui.js";
import { link } from "../router.js";
import { modelName, modelOf } from "../data/models.js";
import { duration, moment, value, words } from "../format.js";

const FIRST = ["seed", "image_size", "patch_size", "coarse_iterations", "iterations", "canvas_iterations", "count", "width", "height", "tileable", "start_strength", "guide_strength", "steps", "seam_width", "mode"];
const STAGES = ["coarse_iterations", "canvas_iterations"]; // which most jobs have not

const MEASURED = [
  ["structure_ratio", "structure ratio", "1: the pictures are as like yours as parts of yours are like each other. Above 1.5 their structure differs."],
  ["spectrum_deviation", "spectrum deviation", "1: fine and coarse detail are as strong as in yours. Above 2 some of it is clearly too strong or too weak."],
  ["mean_rmse", "mean error", "Grey levels between your pictures and what the model draws of them."],
];

export function JobSettings({ job, label = "Settings" }) {
  const { model_ids, ...params } = job.params;
  const names = Object.keys(params).sort((one, other) => rank(one) - rank(other));
  const first = names.filter((name) => FIRST.includes(name) && params[name] !== null && !(STAGES.includes(name) && params[name] === 0));
  const others = names.filter((name) => !first.includes(name) && name !== "blend" && params[name] !== null);
  const row = (name) => html`<div key=${name}><dt>${words(name)}</dt><dd>${name === "blend" && params.blend ? html`<${Blended} blend=${params.blend} />` : value(params[name])}</dd></div>`;
  const from = model_ids ?? (job.model_id ? [job.model_id] : []);
  return html`
    <section class="facts" aria-label=${label}>
      <dl>
        ${first.map(row)}
        ${job.kind !== "train" && from.map((id, index) => html`<div key=${id}><dt>${from.length > 1 ? `model ${index + 1}` : "model"}</dt><dd><a href=${link("models", id)}>${modelName(modelOf(id))}</a></dd></div>`)}
        ${params.blend && row("blend")}
        <div><dt>asked for</dt><dd>${moment(job.created_at)}</dd></div>
      </dl>
      ${others.length > 0 && html`<details><summary>All settings</summary><dl>${others.map(row)}</dl></details>`}
      <dl>
        ${job.kind === "train" && job.model_id && html`<div><dt>model</dt><dd><a href=${link("models", job.model_id)}>${modelName(modelOf(job.model_id))}</a></dd></div>`}
        ${MEASURED.filter(([name]) => name in job.metrics).map(([name, title, about]) => html`<div key=${name}><dt>${title}</dt><dd>${Number(job.metrics[name].toFixed(2))}</dd><dd class="hint">${about}</dd></div>`)}
        ${job.finished_at && job.started_at && html`<div><dt>took</dt><dd>${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}</dd></div>`}
      </dl>
    </section>`;
}

function Blended({ blend }) {
  return blend.map(({ model_id, mask_dataset_id, weight }, index) => html`
    <div key=${index}>
      <a href=${link("models", model_id)}>${modelName(modelOf(model_id))}</a>${mask_dataset_id ? " where its mask is white" : " everywhere"}${weight === null || weight === 1 ? "" : `, with a weight of ${value(weight)}`}
    </div>`);
}

const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
