// Models: what was learned, here or elsewhere.

import { html, signal } from "../ui.js";
import { go, link, route } from "../router.js";
import { apart, givenName, importModel, models, sideOf } from "../data/models.js";
import { purposeOf } from "../data/presets.js";
import { kindOf } from "../data/kinds.js";
import { ago } from "../format.js";
import { Icon } from "../parts/icon.js";
import { ModelThumb } from "../parts/model-choice.js";
import { attempt } from "../parts/notices.js";
import { Windowed } from "../parts/windowed.js";
import { Model } from "./model.js";

const WORDS_HEIGHT = 66;
const importing = signal(null); // the share that is sent

export function Models() {
  const id = route.value.parts[0];
  if (id) return html`<${Model} key=${id} id=${id} />`;
  return html`
    <header class="view-head">
      <h1 tabindex="-1">Models</h1>
      ${importing.value !== null && html`<label class="sending"><span class="hint">Sending the model</span><progress max="1" value=${importing.value}></progress></label>`}
      <label class="button"><${Icon} name="upload" />Import a model
        <input class="sr" type="file" name="model" accept=".safetensors" onChange=${take} /></label>
    </header>
    ${models.value?.length === 0
      ? html`<p class="empty">A model is what the net has learned: some 100 kB that can draw for ever. <a href=${link("make", "texture")}>Learn one from a picture</a>, or import a .safetensors file that was exported here or elsewhere.</p>`
      : html`<${Windowed} items=${models.value ?? []} minWidth=${() => 156} cellHeight=${(width) => width + WORDS_HEIGHT} gap=${16} label="Models"
          draw=${(model, width) => html`<${Card} model=${model} side=${width} />`} />`}`;
}

const Card = ({ model, side }) => html`
  <a class="model-card" href=${link("models", model.id)}>
    <${ModelThumb} model=${model} side=${side} />
    <strong>${givenName(model)}</strong>
    <span class="hint">${kindOf(purposeOf(model.params)).title}, ${together(`${sideOf(model)} px`)}, ${together(apart(model) ?? ago(model.created_at))}</span>
  </a>`;

const together = (words) => words.replaceAll(" ", "\u00a0"); // on one line

async function take(event) {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  importing.value = 0;
  await attempt(async () => {
    const model = await importModel(file, (share) => {
      importing.value = share;
    });
    go("models", model.id);
  });
  importing.value = null;
}
