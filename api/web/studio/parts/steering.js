// Pictures and other models that steer what is drawn, and how strongly.

import { html } from "../ui.js";
import * as draft from "../data/draft.js";
import { modelName, modelOf } from "../data/models.js";
import { parametersOf } from "../data/presets.js";
import * as steering from "../data/steering.js";
import { AsSeen } from "./crop.js";
import { Field } from "./field.js";
import { Icon } from "./icon.js";
import { ACCEPT } from "./pictures-input.js";

const SLOTS = {
  start: {
    legend: "Begin with a picture",
    hint: "Variations of it: a low strength stays near it, a high one leaves little of it.",
    none: "Begin with none",
  },
  end: {
    legend: "Pass to another picture",
    hint: "The new pictures pass from the first to this one, evenly.",
    none: "Pass to none",
  },
  guide: {
    legend: "Follow a picture",
    hint: "A sketch or a photograph that says where it is to be light and dark, and in which colours.",
    none: "Follow none",
  },
};

export function Steering({ model }) {
  return html`
    ${steering.slotsOf(model).map((slot) => html`<${Slot} key=${slot} slot=${slot} />`)}
    ${steering.canBlend(model) && steering.companionsOf(model).length > 0 && html`<${Blend} model=${model} />`}`;
}

const problem = (field) => draft.problems.value.find((one) => one.field?.startsWith(field))?.message;

function Slot({ slot }) {
  const { legend, hint, none } = SLOTS[slot];
  const picture = steering.pictures.value[slot];
  const strength = parametersOf("sample").find((one) => one.name === `${slot}_strength`);
  return html`
    <fieldset class="steer">
      <legend>${legend}</legend>
      <div class="row">
        <${Choice} name=${slot} picture=${picture} label="Choose a picture" seen=${legend} pick=${(file) => steering.steer(slot, file)} />
        ${picture && html`<button type="button" class="small" onClick=${() => steering.steer(slot, null)}>${none}</button>`}
      </div>
      <p class="hint">${problem(`params.${slot}_dataset_id`) ?? hint}</p>
      ${picture && strength && html`
        <${Field} parameter=${strength} given=${picture.strength} change=${(value) => steering.setStrength(slot, value)}
          error=${problem(`params.${slot}_strength`)} />`}
    </fieldset>`;
}

// A picture of the user's, small, and the button to choose it. What is transparent is shown on `ground`.
function Choice({ name, picture, label, seen, pick, ground }) {
  return html`
    ${picture?.bitmap && html`<span class="thumb"><${AsSeen} source=${picture.bitmap} size=${96} label=${seen} ground=${ground} /></span>`}
    <label class="button small"><${Icon} name="photo" /><span class="file-name">${picture ? picture.file.name : label}</span><input class="sr" type="file" name=${name} accept=${ACCEPT}
      onChange=${(event) => event.target.files[0] && pick(event.target.files[0])} /></label>`;
}

function Blend({ model }) {
  const chosen = steering.blendOf(model);
  const left = steering.companionsOf(model).filter((one) => !chosen.some(({ modelId }) => modelId === one.id));
  return html`
    <fieldset class="steer">
      <legend>Draw other models too</legend>
      ${chosen.map((one, index) => html`<${Companion} key=${one.modelId} one=${one} index=${index} />`)}
      ${left.length > 0 && html`
        <select aria-label="Add a model" value="" onChange=${(event) => { steering.addCompanion(event.target.value); event.target.value = ""; }}>
          <option value="">Add a model</option>
          ${left.map((other) => html`<option key=${other.id} value=${other.id}>${modelName(other)}</option>`)}
        </select>`}
      <p class="hint">${problem("params.blend") ?? "Each is drawn where its mask is white, this one where all masks are black. Without a mask both are mixed everywhere."}</p>
    </fieldset>`;
}

function Companion({ one, index }) {
  const name = modelName(modelOf(one.modelId));
  const change = (values) => steering.changeCompanion(one.modelId, values);
  const pick = async (file) => change({ mask: { file, bitmap: await steering.bitmapOf(file) } });
  return html`
    <div class="companion" role="group" aria-label=${name}>
      <strong>${name}</strong>
      <div class="row">
        <${Choice} name=${`mask-${index}`} picture=${one.mask} label="Choose a mask" seen=${`Where ${name} is drawn`} pick=${pick} ground="#000" />
        <label class="row">weight <input type="number" class="weight" min="0" max="1" step="any" value=${steering.weightOf(one)} aria-label=${`Weight of ${name}`}
          onInput=${(event) => change({ weight: event.target.value === "" ? undefined : Number(event.target.value) })} /></label>
        ${one.mask && html`<button type="button" class="small" onClick=${() => change({ mask: null })}>No mask</button>`}
        <button type="button" class="bare" aria-label=${`Remove ${name}`} onClick=${() => steering.removeCompanion(one.modelId)}><${Icon} name="close" /></button>
      </div>
    </div>`;
}
