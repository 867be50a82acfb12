// Pictures and other models that steer what is drawn, and how strongly.

import { drawCovering, middleOf, shrunk, sizeOf, within } from "../canvas.js";
import { html, scrollToStart, useEffect, useMemo, useSignal } from "../ui.js";
import { link, route, scrollBefore } from "../router.js";
import * as draft from "../data/draft.js";
import { isOfMaterial, modelName, modelOf, modelsFor, sideOf } from "../data/models.js";
import { addressOf, loaded, resultsOf } from "../data/pictures.js";
import { parametersOf } from "../data/presets.js";
import * as steering from "../data/steering.js";
import { pageWords, percent } from "../format.js";
import { Brush, veiled } from "./brush.js";
import { AsSeen } from "./crop.js";
import { Field, numberIn, NumberInput } from "./field.js";
import { Icon } from "./icon.js";
import { Mask } from "./mask.js";
import { useTraining } from "./model-choice.js";
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
  const { part } = route.value.query;
  const none = modelsFor("sample")?.length === 0;
  useEffect(() => {
    if (part && (model || none) && !scrollBefore()) showPart(part);
  }, [part, Boolean(model), none]);
  if (!model) return none && part === "blend" && html`<${Needed} part="blend" legend=${BLEND} reason="Blending takes two models of textures." />`;
  const usable = steering.slotsOf(model);
  const shown = Object.keys(SLOTS).filter((slot) => usable.includes(slot) || steering.pictures.value[slot] || slot === part);
  const blends = steering.canBlend(model) && steering.companionsOf(model).length > 0;
  return html`
    ${shown.map((slot) => (usable.includes(slot)
      ? html`<${Slot} key=${slot} slot=${slot} size=${canvasSize(model)} />`
      : steering.pictures.value[slot] ? html`<${UnusedSlot} key=${`unused ${slot}`} slot=${slot} model=${model} />`
      : html`<${Needed} key=${`no ${slot}`} part=${slot} legend=${SLOTS[slot].legend} reason=${`This is ${steering.hindrance(slot, model)}: choose another above.`} />`))}
    ${blends || steering.leftOut(model).length > 0 ? html`<${Blend} model=${model} blends=${blends} />`
      : part === "blend" && html`<${Needed} part="blend" legend=${BLEND} reason=${blendNeeds(model)} />`}`;
}

const BLEND = "Draw other models too";

function blendNeeds(model) {
  if (!steering.canBlend(model)) return "A model of an object or of patches draws at its own size only, and alone: choose another above.";
  const alike = isOfMaterial(model) ? "a material with as many channels" : model.channels === 1 ? "a grey texture" : "a texture in colour";
  return `Blending takes two models, and there is no second one that fits: it must be of ${alike}, as the one chosen above.`;
}

// A part that cannot be used yet, and why.
const Needed = ({ part, legend, reason }) => html`
  <fieldset class="steer" id=${idOf(part)} tabindex="-1">
    <legend>${legend}</legend>
    <p role="status">${reason} <a href=${link("make", "texture")}>Learn one</a>, or <a href=${link("models")}>import one</a>.</p>
  </fieldset>`;

const idOf = (part) => `steer-${part}`;

// Bring a part of the form up: the picture to follow, or the other models.
export function showPart(part) {
  const found = document.getElementById(idOf(part));
  if (!found) return;
  found.focus({ preventScroll: true });
  scrollToStart(found);
}

// A picture that was chosen, and that this model is drawn without as it stands.
function UnusedSlot({ slot, model }) {
  const { legend, none } = SLOTS[slot];
  return html`
    <fieldset class="steer" id=${idOf(slot)} tabindex="-1">
      <legend>${legend}</legend>
      <${Unused} name=${steering.pictures.value[slot].name} reason=${steering.hindrance(slot, model)} label=${none} remove=${() => steering.steer(slot, null)} />
    </fieldset>`;
}

function Unused({ name, reason, label, remove }) {
  return html`
    <div class="row unused">
      <p role="status"><strong>${name}</strong> is not used: ${reason}.</p>
      <button type="button" class="small" onClick=${remove}>${label}</button>
    </div>`;
}

function problem(field) {
  const found = draft.problemOf(field);
  return found && pageWords(found.message);
}

function Slot({ slot, size }) {
  const { legend, hint, none } = SLOTS[slot];
  const picture = steering.pictures.value[slot];
  const sizeWarning = picture && size && sizeWarningOf(picture, size, "picture");
  const strength = parametersOf("sample").find((one) => one.name === `${slot}_strength`);
  const steer = (file) => {
    draft.forgetProblems(`params.${slot}_dataset_id`);
    return steering.steer(slot, file);
  };
  const setStrength = (value) => {
    draft.forgetProblems(`params.${slot}_strength`);
    steering.setStrength(slot, value);
  };
  return html`
    <fieldset class="steer" id=${idOf(slot)} tabindex="-1">
      <legend>${legend}</legend>
      <div class="row">
        <${Choice} name=${slot} picture=${picture} label="Choose a picture" seen=${legend} size=${size ?? [1, 1]} pick=${steer} />
        ${picture && html`<button type="button" class="small" onClick=${() => steer(null)}>${none}</button>`}
      </div>
      ${sizeWarning && html`<p class="hint" role="status">${sizeWarning}</p>`}
      <p class="hint">${problem(`params.${slot}_dataset_id`) ?? hint}</p>
      ${picture && strength && html`
        <${Field} parameter=${strength} given=${picture.strength} change=${setStrength}
          error=${problem(`params.${slot}_strength`)} />`}
    </fieldset>`;
}

// A picture of the user's, small, and the button to choose it. What is transparent is shown on `ground`. size: of what is
// drawn, in whose proportions it is read.
function Choice({ name, picture, label, seen, pick, ground, size = [1, 1] }) {
  const source = picture && sourceOf(picture);
  return html`
    ${source && html`<span class="thumb"><${AsSeen} source=${source} size=${within(size, 96)} label=${seen} ground=${ground} /></span>`}
    <label class="button small"><${Icon} name="photo" /><span class="file-name">${picture ? picture.name : label}</span><input class="sr" type="file" name=${name} accept=${ACCEPT}
      onChange=${(event) => event.target.files[0] && pick(event.target.files[0])} /></label>`;
}

const sourceOf = (picture) => (picture.paint ? veiled(picture.paint, "#fff") : picture.bitmap);

// The size of the pictures that will be drawn; null if what is set is no size.
function canvasSize(model) {
  const size = ["width", "height"].map((name) => draft.overrides.value[name] ?? sideOf(model));
  return size.every((side) => Number.isInteger(side) && side > 0) ? size : null;
}

function Blend({ model, blends }) {
  const chosen = blends ? steering.blendOf(model) : [];
  const ofBlend = draft.problems.value.find(({ field }) => field === "params.blend");
  const left = (blends ? steering.companionsOf(model) : []).filter((one) => !chosen.some(({ modelId }) => modelId === one.id));
  const loses = chosen.length > 0 && model.params.canvas_iterations > 0;
  return html`
    <fieldset class="steer" id=${idOf("blend")} tabindex="-1">
      <legend>${BLEND}</legend>
      ${chosen.map((one, index) => html`<${Companion} key=${one.modelId} one=${one} index=${index} model=${model} others=${chosen.filter((other) => other !== one)} />`)}
      ${steering.leftOut(model).map(({ modelId, name, reason }) => html`
        <${Unused} key=${modelId} name=${name} reason=${reason} label="Remove" remove=${() => steering.removeCompanion(modelId)} />`)}
      ${left.length > 0 && html`
        <select aria-label="Add a model" value="" onChange=${(event) => { steering.addCompanion(event.target.value); event.target.value = ""; }}>
          <option value="">Add a model</option>
          ${left.map((other) => html`<option key=${other.id} value=${other.id}>${modelName(other)}</option>`)}
        </select>`}
      ${blends && html`<p class="hint">${ofBlend?.message ? pageWords(ofBlend.message) : "Each is drawn where its mask is white or painted over, this one where no mask is. Without a mask both are mixed everywhere."}${loses ? " Blends keep no layout, which pictures of this model alone do." : ""}</p>`}
    </fieldset>`;
}

function Companion({ one, index, model, others }) {
  const name = modelName(modelOf(one.modelId));
  const size = canvasSize(model);
  const painting = useSignal(false);
  const change = (values) => {
    steering.changeCompanion(one.modelId, values);
    draft.forgetProblems(`params.blend[${index}]`);
  };
  const remove = () => {
    steering.removeCompanion(one.modelId);
    draft.forgetProblems("params.blend"); // the others move up
  };
  const pick = async (file) => change({ mask: await steering.pictureOf(file) });
  const paint = () => {
    if (!one.mask?.paint || sizeWarningOf(one.mask, size, "mask")) change({ mask: paintedOn(size, one.mask, index) });
    painting.value = true;
  };
  const weigh = (input) => change({ weight: input.value === "" && !input.validity.badInput ? undefined : numberIn(input) });
  const wrong = problem(`params.blend[${index}]`);
  const sizeWarning = one.mask && size && sizeWarningOf(one.mask, size, "mask");
  const brushing = painting.value && one.mask?.paint && !sizeWarning;
  return html`
    <div class="companion" role="group" aria-label=${name}>
      <div class="companion-head"><strong>${name}</strong>
        <button type="button" class="bare" aria-label=${`Remove ${name}`} onClick=${remove}><${Icon} name="close" /></button></div>
      <div class="row">
        <${Choice} name=${`mask-${index}`} picture=${one.mask} label="Choose a mask" seen=${`Where ${name} is drawn`} pick=${pick} ground="#000" size=${size ?? [1, 1]} />
        ${brushing
          ? html`<button type="button" class="small" onClick=${() => { painting.value = false; }}>Put the brush away</button>`
          : html`<button type="button" class="small" disabled=${!size} onClick=${paint}><${Icon} name="brush" />Paint</button>`}
        <label class="row">weight <${NumberInput} class="weight" min="0" max="1" step="any" number=${steering.weightOf(one)} aria-label=${`Weight of ${name}`}
          aria-invalid=${wrong || Number.isNaN(one.weight) ? "true" : null} onInput=${(event) => weigh(event.target)} /></label>
        ${one.mask && html`<button type="button" class="small" onClick=${() => change({ mask: null })}>No mask</button>`}
      </div>
      ${wrong && html`<p class="hint wrong" role="status">${wrong}</p>`}
      ${sizeWarning && html`<p class="hint" role="status">${sizeWarning} Paint to change it as it will be used.</p>`}
      ${brushing && html`
        <${MaskBrush} model=${model} others=${others} paint=${one.mask.paint} label=${`where ${name} is drawn`} changed=${() => change({ mask: { name: one.mask.name, paint: one.mask.paint } })} />`}
    </div>`;
}

const PAINTED_SIDE = 512; // pixels at most: the service scales a mask to the picture, and softens it

// Begin to paint on a canvas in the proportions of what is drawn, with what the mask before shows there.
function paintedOn(size, before, index) {
  const paint = new Mask(...shrunk(size, PAINTED_SIDE));
  const source = before && sourceOf(before);
  if (source) {
    const seen = document.createElement("canvas");
    drawCovering(seen, source, [paint.width, paint.height], "#000");
    paint.takeWhite(seen);
  }
  return { name: `painted ${index + 1}.png`, paint };
}

// What a picture, or a mask, of another size loses, in words; null if it fits, or cannot be shown.
function sizeWarningOf(picture, size, what) {
  const source = picture.paint?.canvas ?? picture.bitmap;
  if (!source) return null;
  const [width, height] = sizeOf(source);
  const [, , seenWidth, seenHeight] = middleOf([width, height], size);
  const [lostWidth, lostHeight] = [1 - seenWidth / width, 1 - seenHeight / height];
  const lost = Math.max(lostWidth, lostHeight);
  const where = lostWidth > lostHeight ? "left and right" : "top and bottom";
  const cut = lost * Math.min(width, height) < 1 ? [] : [`This ${what} has other proportions than what is drawn, ${size.join(" × ")}: its middle is used, and ${percent(lost)} of it, at its ${where}, is cut off.`];
  const scale = size[0] / seenWidth;
  const enlarged = what === "mask" || scale < draft.ENLARGED ? [] : [`It is enlarged ${scale.toFixed(1)} times, from ${width} × ${height}.`];
  return [...cut, ...enlarged].join(" ") || null;
}

function MaskBrush({ model, others, paint, label, changed }) {
  const job = useTraining(model);
  const result = job && resultsOf(job)[0];
  const tile = useSignal(null);
  useEffect(() => {
    if (result) loaded(addressOf(result)).then((image) => { tile.value = image; }, () => {});
  }, [result?.url]);
  const masks = others.map(({ mask }) => mask).filter((mask) => mask?.paint || mask?.bitmap);
  const ground = useMemo(() => groundOf(paint, tile.value, masks), [paint, tile.value, ...masks]);
  return html`<${Brush} mask=${paint} ground=${ground} label=${label} changed=${changed} />`;
}

// What lies under a mask that is painted: what the job's own model draws, and the masks of the others in grey.
function groundOf({ width, height }, tile, masks) {
  const ground = document.createElement("canvas");
  ground.width = width;
  ground.height = height;
  const context = ground.getContext("2d");
  context.fillStyle = tile ? context.createPattern(tile, "repeat") : "#9a9a94";
  context.fillRect(0, 0, width, height);
  for (const mask of masks) {
    const seen = document.createElement("canvas");
    drawCovering(seen, sourceOf(mask), [width, height], "#000");
    const other = new Mask(width, height);
    other.takeWhite(seen);
    context.drawImage(veiled(other, "rgb(60 64 70 / .8)"), 0, 0);
  }
  return ground;
}
