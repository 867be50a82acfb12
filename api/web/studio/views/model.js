// One model: what it draws, its first filters, what it was learned with.

import { html } from "../ui.js";
import { go, link } from "../router.js";
import { apart, deleteModel, givenName, isOfMaterial, modelName, modelOf, models, modelsFor, renameModel, sideOf } from "../data/models.js";
import { purposeOf } from "../data/presets.js";
import { kindOf } from "../data/kinds.js";
import { addressOf } from "../data/pictures.js";
import { fileSize, moment, value, words } from "../format.js";
import { confirm, prompt } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { useTraining } from "../parts/model-choice.js";
import { attempt } from "../parts/notices.js";
import { evenWidth } from "../parts/picture.js";
import { Results } from "../parts/results.js";

export function Model({ id }) {
  const model = modelOf(id);
  if (!models.value) return html`<header class="view-head"><h1 tabindex="-1">Model</h1></header><p class="hint" role="status">Reading the models</p>`;
  if (!model) return html`<header class="view-head"><h1 tabindex="-1">This model is not here</h1></header><p class="empty">It was deleted, or belongs to another key. <a href=${link("models")}>All models</a></p>`;
  return html`
    <div class="job">
      <a class="back" href=${link("models")}><${Icon} name="back" />Models</a>
      <header class="job-head"><h1 tabindex="-1">${givenName(model)} <span class="quiet">${apart(model) ? `${apart(model)}, ` : ""}${kindOf(purposeOf(model.params)).title.toLowerCase()}</span></h1></header>
      <div class="job-columns">
        <div class="job-main"><${Drawn} model=${model} /></div>
        <aside class="job-aside" aria-label="About this model">
          <${Actions} model=${model} />
          <section class="facts" aria-label="Settings">
            <dl>
              ${[["pictures of", `${sideOf(model)} × ${sideOf(model)}`], isOfMaterial(model) ? ["maps", model.maps.map((one) => one.role).join(", ")] : ["colours", model.channels === 1 ? "grey" : "red, green, blue"], ["layers", value(model.params.layers)], ["seed", value(model.params.seed)], ...(model.dataset_name ? [["learned from", model.dataset_name]] : []), ["file", fileSize(model.bytes)], ["since", moment(model.created_at)]].map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}
            </dl>
            <details><summary>All settings it was learned with</summary><dl>${Object.entries(model.params).map(([name, given]) => html`<div key=${name}><dt>${words(name)}</dt><dd>${value(given)}</dd></div>`)}</dl></details>
          </section>
        </aside>
      </div>
    </div>`;
}

function Drawn({ model }) {
  const job = useTraining(model);
  if (job === undefined) return html`<p class="hint" role="status">Reading its pictures</p>`;
  if (!job) return html`<p class="empty">This model came without pictures: it was imported, or the job that learned it was deleted. <a href=${link("make", "sample", { model: model.id })}>Let it draw</a></p>`;
  const filters = job.artifacts.find((one) => one.name === "filters.png");
  return html`
    <${Results} job=${job} />
    ${filters && html`
      <section class="of-filters" aria-labelledby="filters-title">
        <h2 id="filters-title">First-layer filters</h2>
        <p class="hint">What the lowest layer looks for. Each small square is one filter of ${model.params.layers[0].kernel_size} × ${model.params.layers[0].kernel_size} pixels.</p>
        <img class="filters" style=${{ width: evenWidth("min(100%, 560px)", filters.width) }} src=${addressOf(filters)} alt=${`The ${model.params.layers[0].filters} filters of the first layer`} width=${filters.width} height=${filters.height} />
      </section>`}`;
}

function Actions({ model }) {
  const act = (work) => () => attempt(work);
  const can = (kindId) => modelsFor(kindId).includes(model);
  return html`
    <div class="actions">
      <a class="button primary" href=${link("make", "sample", { model: model.id })}><${Icon} name="plus" />Draw new pictures</a>
      ${can("inpaint") && html`<a class="button" href=${link("make", "inpaint", { model: model.id })}><${Icon} name="brush" />Fill in</a>`}
      ${can("reconstruct") && html`<a class="button" href=${link("make", "reconstruct", { model: model.id })}><${Icon} name="compare" />Reconstruct</a>`}
      <button type="button" onClick=${act(() => rename(model))}><${Icon} name="pen" />Rename</button>
      <a class="button" href=${model.url} download><${Icon} name="download" />Export</a>
      ${model.job_id && html`<a class="button" href=${link("jobs", model.job_id)}><${Icon} name="jobs" />Its job</a>`}
      <button type="button" class="quietly" onClick=${act(() => bin(model))}><${Icon} name="bin" />Delete</button>
    </div>`;
}

const rename = (model) => prompt("Rename the model", "Name", givenName(model), "Rename", (name) => renameModel(model.id, name));

async function bin(model) {
  if (!(await confirm(`Delete ${modelName(model)}?`, "It cannot draw any more. The pictures that it made stay.", "Delete"))) return;
  await deleteModel(model.id);
  go("models");
}

