// A form field for a parameter as the service describes it: its words, its default and its bounds.

import { html, useId, useRef, useSignal } from "../ui.js";
import { pageWords, value as inWords, words } from "../format.js";

// bounds: JSON Schema of the value. Returns {type, nullable, low, isLowIn, high, options}.
export function kindOf(bounds) {
  const choices = bounds.anyOf ?? [bounds];
  const schema = choices.find((one) => one.type !== "null") ?? {};
  const merged = { ...schema, ...bounds };
  return {
    type: schema.enum ? "choice" : merged.type ?? "other",
    nullable: choices.some((one) => one.type === "null"),
    options: schema.enum,
    low: merged.minimum ?? merged.exclusiveMinimum,
    isLowIn: merged.exclusiveMinimum === undefined, // low is a value itself
    high: merged.maximum,
  };
}

// Whether a number is one that the parameter may have; what is not set, or is no number's setting, always is.
export function isInBounds(given, bounds) {
  const { type, low, isLowIn, high } = kindOf(bounds);
  if (given === undefined || given === null || !["integer", "number"].includes(type)) return true;
  if (type === "integer" ? !Number.isInteger(given) : Number.isNaN(given)) return false;
  return !(given < low || (given === low && !isLowIn) || given > high);
}

// What is wrong with a number that was set, in words; undefined if nothing is.
function problemOf(given, bounds) {
  if (Number.isNaN(given)) return "this is no number";
  if (isInBounds(given, bounds)) return undefined;
  const { low, isLowIn, high } = kindOf(bounds);
  if (given > high) return `this must be at most ${high.toLocaleString("en")}`;
  if (given < low || (given === low && !isLowIn)) return `this must be ${isLowIn ? "at least" : "more than"} ${low.toLocaleString("en")}`;
  return "this must be a whole number";
}

// parameter: {name, description, default, bounds}. given: the value set by the user, undefined for the default.
// change(value): undefined takes the default again.
export function Field({ parameter, given, change, error: refusal }) {
  const id = useId();
  const kind = kindOf(parameter.bounds);
  const about = `${id}-about`;
  const error = problemOf(given, parameter.bounds) ?? refusal;
  const shared = { id, "aria-describedby": about, "aria-invalid": error ? "true" : null };
  return html`
    <div class="field ${error ? "wrong" : ""}">
      <label for=${id}>${words(parameter.name)}</label>
      <${Input} kind=${kind} parameter=${parameter} given=${given} change=${change} shared=${shared} />
      <p id=${about} class="hint">${error ? pageWords(error) : html`<${About} text=${parameter.description} />`}</p>
    </div>`;
}

const SHORT = 150; // letters of what is said of a parameter, from which on only the first sentence is shown at once
const FIRST_SENTENCE = /^.*?\.(?= )/s;
const SYMBOL = / In the paper: \S+\.$/; // which is not shown at once

function About({ text }) {
  const whole = useSignal(false);
  const [first] = (text.length > SHORT && FIRST_SENTENCE.exec(text)) || [text.replace(SYMBOL, "")];
  if (first === text) return withNames(text);
  return html`
    ${withNames(whole.value ? text : first)} <button type="button" class="more" aria-expanded=${whole.value} onClick=${() => { whole.value = !whole.value; }}>${whole.value ? "less" : "more"}</button>`;
}

// The words of the service, in which names may be between backticks.
const withNames = (text) => text.split("`").map((part, index) => (index % 2 ? html`<code>${words(part)}</code>` : pageWords(part)));

function Input({ kind, parameter, given, change, shared }) {
  const current = given === undefined ? parameter.default : given;
  if (kind.type === "boolean") {
    return html`<input ...${shared} type="checkbox" checked=${current} onChange=${(event) => change(event.target.checked)} />`;
  }
  if (kind.type === "choice") {
    return html`<select ...${shared} value=${current} onChange=${(event) => change(event.target.value)}>
      ${kind.options.map((one) => html`<option key=${one} value=${one}>${words(one)}</option>`)}
    </select>`;
  }
  if (kind.type === "integer" || kind.type === "number") {
    return html`<${NumberInput} ...${shared} inputmode="decimal" min=${kind.low} max=${kind.high}
      step=${kind.type === "integer" ? 1 : "any"} number=${current} placeholder=${kind.nullable ? "automatic" : null}
      onInput=${(event) => change(read(event.target, kind, parameter))} />`;
  }
  if (parameter.name === "orientations") return html`<${Orientations} current=${current} change=${change} shared=${shared} />`;
  if (parameter.name === "layers") return html`<${Layers} layers=${current} change=${change} shared=${shared} />`;
  return html`<output ...${shared}>${inWords(current)}</output>`;
}

// The number in an input; NaN if what was typed is none.
export const numberIn = ({ value, validity }) => (validity.badInput ? NaN : Number(value));

// An input of a number; NaN if it is none. What was typed stays as it is while it means the number: to write "0" over
// "0." would take the decimal point away.
export function NumberInput({ number, ...attributes }) {
  const input = useRef(null);
  const isTyped = input.current?.value && numberIn(input.current) === number;
  return html`<input ...${attributes} ref=${input} type="number" value=${isTyped || Number.isNaN(number) ? undefined : (number ?? "")} />`;
}

function read(input, kind, parameter) {
  if (input.value === "" && !input.validity.badInput) return kind.nullable && parameter.default !== null ? null : undefined;
  return numberIn(input);
}

const TURNS = ["0", "90", "180", "270"];
const ORIENTATIONS = [
  ["as it is", ["0"]],
  ["flipped too", ["0", "flipped-0"]],
  ["in four directions", TURNS],
  ["all eight turns and flips", [...TURNS, ...TURNS.map((one) => `flipped-${one}`)]],
  ["at any angle", ["any"]],
];

// The turns and flips that make sense together; what is set otherwise stays a choice of its own.
function Orientations({ current, change, shared }) {
  const same = (one, other) => one.length === other.length && one.every((each) => other.includes(each));
  const chosen = ORIENTATIONS.findIndex(([, some]) => same(some, current));
  return html`<select ...${shared} value=${chosen} onChange=${(event) => change(ORIENTATIONS[event.target.value][1])}>
    ${chosen < 0 && html`<option value=${-1}>${current.join(", ")}</option>`}
    ${ORIENTATIONS.map(([label], index) => html`<option key=${label} value=${index}>${label}</option>`)}
  </select>`;
}

const COLUMNS = [["filters", "filters"], ["kernel_size", "pixels wide"], ["stride", "every"]];

function Layers({ layers, change, shared }) {
  const put = (index, name, text) => change(layers.map((one, at) => (at === index ? { ...one, [name]: Number(text) } : one)));
  return html`
    <div class="layers" ...${shared} role="group" aria-label="layers">
      ${layers.map((layer, index) => html`
        <div class="layer" key=${index}>
          <span class="hint">${index + 1}</span>
          ${COLUMNS.map(([name, label]) => html`
            <input key=${name} type="number" min="1" max=${name === "filters" ? 512 : 63} value=${layer[name]} title=${label}
              aria-label=${`layer ${index + 1}: ${label}`} onInput=${(event) => put(index, name, event.target.value)} />`)}
          ${layers.length > 1 && html`<button class="bare" type="button" aria-label=${`Remove layer ${index + 1}`}
            onClick=${() => change(layers.filter((_, at) => at !== index))}>−</button>`}
        </div>`)}
      ${layers.length < 8 && html`<button type="button" class="small" onClick=${() => change([...layers, { ...layers.at(-1), stride: 1 }])}>Add a layer</button>`}
    </div>`;
}
