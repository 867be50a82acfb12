// Choose a model, or several, by what their pictures look like.

import { patiently } from "../api.js";
import { html, signal, useEffect, useRef } from "../ui.js";
import { forget, link } from "../router.js";
import { kindId, modelIds } from "../data/draft.js";
import { apart, givenName, isOfMaterial, modelOf, models, modelsFor, sideOf, unlike } from "../data/models.js";
import { resultsOf, smallOf, trainingJob } from "../data/pictures.js";
import { jobOf } from "../data/jobs.js";
import { inBackground } from "./notices.js";
import { Thumb } from "./picture.js";

const TILES_PADDING = 3; // pixels, as in style/views.css

export function ModelChoice({ several }) {
  const known = modelsFor(kindId.value);
  const tiles = useRef();
  useEffect(() => showChosen(tiles.current), [known?.length, kindId.value]);
  useEffect(() => {
    if (!known) return;
    const ids = known.map((one) => one.id);
    const still = modelIds.peek().filter((id) => ids.includes(id));
    modelIds.value = several ? still.filter((id) => !unlike(modelOf(id), modelOf(still[0]))) : (still.length ? still : ids).slice(0, 1);
  }, [models.value, kindId.value]);
  if (!known) return html`<p class="hint" role="status">Reading the models</p>`;
  if (!known.length) {
    return html`<p class="empty">There is no model that can do this yet. <a href=${link("make", "texture")}>Learn one</a>, or <a href=${link("models")}>import one</a>.</p>`;
  }
  const choose = (id, checked) => {
    forget("model");
    if (!several) modelIds.value = [id];
    else modelIds.value = checked ? [...modelIds.peek(), id] : modelIds.peek().filter((one) => one !== id);
  };
  // Several are compared, which the first that is chosen must allow.
  const first = several && modelOf(modelIds.value[0]);
  const hindrances = known.map((model) => first && unlike(model, first));
  const alone = first && hindrances.filter((one) => one === null).length === 1;
  return html`
    <fieldset class="models-choice">
      <legend>${several ? "Models, each a category" : "Model"}</legend>
      <div class="model-tiles" ref=${tiles}>
        ${known.map((model, index) => html`
          <label key=${model.id} class="tile model-tile ${hindrances[index] ? "unfit" : ""}">
            <input class="sr" type=${several ? "checkbox" : "radio"} name="model" value=${model.id} checked=${modelIds.value.includes(model.id)} disabled=${Boolean(hindrances[index])}
              onChange=${(event) => choose(model.id, event.target.checked)} />
            <${ModelThumb} model=${model} />
            <span>${givenName(model)}</span>
            <span class="hint">${hindrances[index] || `${sideOf(model)} px${isOfMaterial(model) ? ", a material" : ""}`}</span>
            ${apart(model) && html`<span class="hint apart">${apart(model)}</span>`}
          </label>`)}
      </div>
      ${several && known.length === 1 && html`<p class="hint" role="status">This is the only model that can be compared yet: it takes two or more of the same size. <a href=${link("make", "texture")}>Learn another</a></p>`}
      ${alone && known.length > 1 && html`<p class="hint" role="status">No other model can be compared with ${givenName(first)}: it takes one of ${sideOf(first)} px, ${first.channels === 1 ? "grey" : "in colour"}, as well. <a href=${link("make", "texture")}>Learn one</a></p>`}
    </fieldset>`;
}

// Scroll the tiles, of which not all may be seen at once, to the one that is chosen.
function showChosen(tiles) {
  const chosen = tiles?.querySelector(".tile:has(:checked)");
  if (chosen) tiles.scrollTop += Math.max(0, chosen.getBoundingClientRect().bottom - tiles.getBoundingClientRect().bottom + TILES_PADDING);
}

// A picture that the model drew when it had learned, or its name if it was learned elsewhere. side: see Thumb.
export function ModelThumb({ model, artifact = "result", side = null }) {
  const job = useTraining(model);
  const found = job && (artifact === "result" ? resultsOf(job)[0] : job.artifacts.find((one) => one.name === artifact));
  return found ? html`<${Thumb} src=${smallOf(found)} of=${side && found} side=${side} />` : html`<span class="thumb blank">${job === null ? "imported" : ""}</span>`;
}

const asked = new Set();
const without = signal(new Set()); // models whose training job is not there

// The job that a model was learned by: undefined while it is read, null if there is none.
export function useTraining(model) {
  const job = model.job_id ? jobOf(model.job_id).value : null;
  useEffect(() => {
    if (job || asked.has(model.id)) return;
    asked.add(model.id);
    inBackground(async () => {
      const found = await patiently(() => trainingJob(model.id));
      if (!found) without.value = new Set([...without.peek(), model.id]);
    });
  }, [model.id]);
  return without.value.has(model.id) ? null : job;
}
