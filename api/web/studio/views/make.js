// Make: choose what to make, add pictures or a model, set what matters, start.

import { patiently } from "../api.js";
import { effect, html, scrollToStart, useEffect } from "../ui.js";
import { go, link, route } from "../router.js";
import { cardsOf, jobKind } from "../data/kinds.js";
import { loadSchemas, parametersOf, presetsFor, settable } from "../data/presets.js";
import { isFixedSize, isTaken, MIN_SIDE, modelOf, seamWidth } from "../data/models.js";
import * as draft from "../data/draft.js";
import { learningSeconds } from "../data/estimate.js";
import { usingTime } from "../data/expected.js";
import { count, durations, words } from "../format.js";
import { Doubts, doubts } from "../parts/doubts.js";
import { Field, isInBounds } from "../parts/field.js";
import { Icon } from "../parts/icon.js";
import { attempt, forgetErrors, inBackground, say } from "../parts/notices.js";
import { ModelChoice } from "../parts/model-choice.js";
import { PicturesInput } from "../parts/pictures-input.js";
import { showPart, Steering } from "../parts/steering.js";
import { Inpainting } from "../parts/inpainting.js";
import { Thumb } from "../parts/picture.js";

const CARDS = new URL("../cards/", import.meta.url);

export function Make() {
  const { parts, query } = route.value;
  useEffect(() => draft.choose(parts[0] ?? draft.kindId.peek(), query), [route.value]);
  useEffect(() => {
    if (parts[0] && !query.part) showBench();
  }, [parts[0]]);
  useEffect(() => void (draft.wantsModel.value && inBackground(() => patiently(loadSchemas))), [draft.kindId.value]);
  const kind = draft.kind.value;
  const parameters = kind.group === "learn" ? learnParameters() : useParameters(kind);
  return html`
    <div class="make">
      <header class="intro">
        <h1 tabindex="-1">What shall we make?</h1>
        <p class="lead">A small net learns from your own pictures, on this service, and draws new ones. You can watch.</p>
      </header>
      <${Cards} group="learn" title="Learn from pictures" />
      <${Cards} group="use" title="Use what was learned" />
      <section class="bench" aria-labelledby="bench-title">
        <header class="bench-head">
          <h2 id="bench-title">${kind.title}</h2>
          ${draft.begun.value && html`<button type="button" class="small" onClick=${beginAnew}><${Icon} name="again" />Begin anew</button>`}
        </header>
        <div class="settings">
          <div class="bench-columns ${isPaired(kind) ? "paired" : ""}">
            <div class="materials">
              ${draft.wantsModel.value && html`<${ModelChoice} several=${kind.id === "classify"} />`}
              ${kind.id === "classify" && html`<${Doubts} />`}
              ${kind.id === "inpaint" && html`<${Inpainting} />`}
              ${kind.id === "sample" && html`<${Steering} model=${modelOf(draft.modelIds.value[0])} />`}
              ${!isPaired(kind) && html`<${Pictures} kind=${kind} />`}
            </div>
            ${isPaired(kind) && html`<div class="materials"><${Pictures} kind=${kind} /></div>`}
            <form id="main-settings" class="main-settings" onSubmit=${submit} novalidate>
              ${kind.group === "learn" && html`<${Presets} kind=${kind} /><${NewName} />`}
              ${parameters.length === 0 && html`<p class="hint" role="status">Reading the settings</p>`}
              <${MainFields} parameters=${parameters} main=${kind.main} />
            </form>
          </div>
          <${OtherFields} parameters=${parameters} main=${kind.main} />
          <${Start} kind=${kind} />
        </div>
      </section>
    </div>`;
}

// Whether models and pictures stand side by side, above the few settings.
const isPaired = ({ id }) => ["classify", "reconstruct", "seam"].includes(id);

const Pictures = ({ kind }) => draft.wantsPictures.value && html`
  <${PicturesInput} size=${sizeSeen()} advice=${kind.advice} parts=${draft.learnsParts.value} side=${draft.sideNeeded.value} />`;

// What was wrong is no longer said once all of it is changed.
let wasWrong = false;
effect(() => {
  const isWrong = draft.problems.value.length > 0;
  if (wasWrong && !isWrong) forgetErrors();
  wasWrong = isWrong;
});

function beginAnew() {
  draft.beginAnew();
  forgetErrors();
}

// On a small screen what was chosen is below: bring it up.
function showBench() {
  const bench = document.querySelector(".bench");
  if (bench.getBoundingClientRect().top > 0.66 * innerHeight) scrollToStart(bench);
}

function Cards({ group, title }) {
  const open = route.value.query.part;
  const isOpen = ({ id, of }) => draft.kindId.value === (of ?? id) && (of ? open === id : !open);
  return html`
    <section aria-label=${title}>
      <h2 class="small-head">${title}</h2>
      <ul class="cards">
        ${cardsOf(group).map((one) => html`
          <li key=${one.id}>
            <a class="card" href=${one.of ? link("make", one.of, { part: one.id }) : link("make", one.id)} aria-current=${isOpen(one) ? "true" : null} onClick=${() => isOpen(one) && one.of && showPart(one.id)}>
              <${Thumb} src=${new URL(`${one.id}.jpg`, CARDS).href} />
              <span class="card-words"><strong>${one.title}</strong><span>${one.line}</span></span>
            </a>
          </li>`)}
      </ul>
    </section>`;
}

// The side of the pictures that will be learned or judged; null if it is set to one that cannot be.
function sizeSeen() {
  if (draft.kind.value.group === "learn") {
    const asked = draft.overrides.value.image_size;
    const bounds = draft.preset.value?.parameters.find(({ name }) => name === "image_size").bounds;
    return bounds && !isInBounds(asked, bounds) ? null : (asked ?? draft.preset.value?.params.image_size);
  }
  return modelOf(draft.modelIds.value[0])?.params.image_size;
}

function Presets({ kind }) {
  const preset = draft.preset.value;
  if (!preset) return null;
  return html`
    <fieldset class="choices">
      <legend>How well</legend>
      ${presetsFor(kind.id).map((one) => html`
        <label key=${one.name} class="choice">
          <input type="radio" name="preset" value=${one.name} checked=${one.name === preset.name} onChange=${() => { draft.presetName.value = one.name; }} />
          <span><strong>${one.name}</strong><span class="cost">${cost(one)}</span><span class="hint">${one.description}</span></span>
        </label>`)}
    </fieldset>`;
}

const learnParameters = () => (draft.preset.value ? settable(draft.preset.value, draft.overrides.value) : []);

const NAME_LENGTH = 200; // as in api/uploads/forms.py

function NewName() {
  const error = draft.problemOf("model_name")?.message;
  const taken = isTaken(draft.newName.value.trim()) ? "Another model is called that too; lists tell them apart by their dates." : null;
  const set = (event) => {
    draft.newName.value = event.target.value;
    draft.forgetProblems("model_name");
  };
  return html`
    <div class="field ${error ? "wrong" : ""}">
      <label for="new-name">name of the model</label>
      <input id="new-name" type="text" autocomplete="off" maxlength=${NAME_LENGTH} placeholder=${draft.defaultName.value} value=${draft.newName.value} aria-describedby="new-name-about" aria-invalid=${error ? "true" : null} onInput=${set} />
      <p id="new-name-about" class="hint">${error ?? taken ?? "What it will be called; it can be renamed. If empty, after its pictures."}</p>
    </div>`;
}

const isWrong = ({ name, bounds }) => draft.problemOf(`params.${name}`) || !isInBounds(draft.overrides.value[name], bounds);

// How long it will take, or that nobody knows; nothing while a setting cannot be.
function cost(preset, about = "") {
  const chosen = preset.name === draft.preset.value?.name;
  if (chosen && preset.parameters.some(isWrong)) return "";
  const seconds = learningSeconds(preset, chosen ? draft.overrides.value : {});
  if (seconds === null) return preset.two_core_seconds ? "time not measured with these settings" : "time not measured";
  return `about ${durations(seconds)}${preset.expected_seconds ? "" : about}`;
}

const SIDES = ["width", "height"];

// Empty until they are read.
function useParameters(kind) {
  const model = modelOf(draft.modelIds.value[0]);
  const fixed = model && isFixedSize(model) ? [...SIDES, "tileable"] : [];
  // What needs a picture of its own, or another kind, is not a setting here.
  const elsewhere = kind.id === "seam" ? /^seam$/ : /^(start_|end_|guide_|seam|blend)/;
  const automatic = kind.id === "seam" && model ? { seam_width: seamWidth(model) } : {};
  return parametersOf(jobKind(kind))
    .filter((one) => !fixed.includes(one.name) && !elsewhere.test(one.name))
    .map((one) => (SIDES.includes(one.name) ? { ...one, bounds: { ...one.bounds, minimum: MIN_SIDE } } : one))
    .map((one) => (one.name in automatic ? { ...one, default: automatic[one.name] } : one));
}

const ParameterField = ({ parameter, name = parameter.name }) => html`
  <${Field} parameter=${parameter} given=${draft.overrides.value[name]} change=${(value) => draft.override(name, value)} error=${draft.problemOf(`params.${name}`)?.message} />`;

// A first stage matters only with a preset that has one.
const matters = (name) => name !== "coarse_iterations" || draft.preset.value?.params[name] > 0;

function MainFields({ parameters, main }) {
  const named = main.filter(matters).map((name) => parameters.find((one) => one.name === name)).filter(Boolean);
  return html`<div class="fields">${named.map((one) => html`<${ParameterField} key=${one.name} parameter=${one} />`)}</div>`;
}

function OtherFields({ parameters, main }) {
  const others = parameters.filter((one) => !main.filter(matters).includes(one.name));
  if (!others.length) return null;
  const changed = others.filter((one) => one.name in draft.overrides.value).length;
  const wrong = others.some((one) => draft.problemOf(`params.${one.name}`));
  return html`
    <details class="others" open=${wrong}>
      <summary>All other settings ${changed > 0 && html`<span class="badge">${changed} changed</span>`}</summary>
      <div class="fields">${others.map((one) => html`<${ParameterField} key=${one.name} parameter=${one} />`)}</div>
    </details>`;
}

const BUTTON_WORDS = { learn: "Learn", sample: "Draw", inpaint: "Fill in", seam: "Make tileable", reconstruct: "Reconstruct", classify: "Classify" };

function Start({ kind }) {
  const missing = draft.missing.value;
  const sending = draft.sent.value;
  return html`
    <div class="start">
      <button form="main-settings" class="primary large" aria-disabled=${missing !== null || sending !== null ? "true" : null}>${BUTTON_WORDS[kind.group === "learn" ? "learn" : kind.id]}</button>
      ${sending !== null
        ? html`<label class="sending"><span class="hint">Sending the pictures</span><progress max="1" value=${sending}></progress></label>`
        : html`<span class="hint" role="status">${missing ?? aboutJob(kind)}</span>`}
      ${usingTime.value !== null && sending === null && html`<span class="hint time">about ${durations(usingTime.value)}</span>`}
    </div>`;
}

// What is known of the job before it starts: how long it took elsewhere, what is uncertain, or what of the choices it does
// not use.
function aboutJob(kind) {
  if (kind.group === "learn") return draft.preset.value ? aboutLearning(draft.preset.value) : "";
  if (kind.id === "classify" && doubts.value.length) return `${count(doubts.value.length, "thing")} to know first, said below the models`;
  return draft.unused.value.length ? `Not used: ${draft.unused.value.join(", ")}` : "";
}

function aboutLearning(preset) {
  const wrong = preset.parameters.find(isWrong);
  return wrong ? `Correct ${words(wrong.name)} first.` : cost(preset, ", depending on the machine");
}

let starting = false; // a second click posts no second job

async function submit(event) {
  event.preventDefault();
  if (starting) return;
  if (draft.missing.peek()) return say(draft.missing.peek());
  starting = true;
  await attempt(async () => {
    const { job, notes } = await draft.start();
    notes.forEach((one) => say(one, "noted"));
    go("jobs", job.id);
  });
  starting = false;
}
