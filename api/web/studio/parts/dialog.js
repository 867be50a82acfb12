// Questions in a dialog of the browser's own, which keeps the focus and closes with Escape.

import { effect, html, signal, useEffect, useMemo, useRef, useSignal } from "../ui.js";
import { route } from "../router.js";
import { Field } from "./field.js";
import { errorText } from "./notices.js";

const asked = signal(null);

// A question belongs to the view that it was asked on: on the way to another it is answered with no.
effect(() => {
  void route.value;
  const question = asked.peek();
  asked.value = null;
  question?.answer(null);
});

// Ask before something that cannot be undone. Resolves to true or false.
export const confirm = (title, text, action) =>
  new Promise((resolve) => {
    asked.value = { title, text, action, danger: true, answer: (given) => resolve(given !== null) };
  });

// Ask for one line of text and do `work` with it. If that is refused, the dialog says why, and the text stays.
export const prompt = (title, label, value, action, work, type = "text") =>
  new Promise((resolve) => {
    asked.value = { title, label, value, action, work, type, answer: resolve };
  });

// The same with parameters of a job, as `parametersOf` describes them: `work` gets the values that were set.
export const askFor = (title, parameters, action, work) =>
  new Promise((resolve) => {
    asked.value = { title, parameters, action, work, answer: resolve };
  });

let asking = 0;

export function Dialogs() {
  const question = asked.value;
  const number = useMemo(() => (asking += 1), [question]);
  return question && html`<${Dialog} key=${number} question=${question} />`;
}

function Dialog({ question }) {
  const ref = useRef();
  const values = useSignal({}); // of parameters: name -> value
  const working = useSignal(false);
  const refused = useSignal(null); // why, in words
  useEffect(() => ref.current.showModal(), []);
  const finish = (given) => {
    ref.current?.close(); // its work may have led to another view
    if (asked.peek() === question) asked.value = null;
    question.answer(given);
  };
  const submit = async (event) => {
    event.preventDefault();
    if (working.peek()) return;
    const given = question.parameters ? values.value : question.label ? new FormData(event.target).get("text") : "";
    working.value = true;
    refused.value = null;
    try {
      await question.work?.(given);
      finish(given);
    } catch (error) {
      refused.value = errorText(error);
    }
    working.value = false;
  };
  const cancel = (event) => {
    event.preventDefault();
    finish(null);
  };
  return html`
    <dialog ref=${ref} class="dialog" aria-labelledby="dialog-title" onCancel=${cancel}>
      <form onSubmit=${submit}>
        <h2 id="dialog-title">${question.title}</h2>
        ${question.text && html`<p>${question.text}</p>`}
        ${question.label && html`
          <label class="field"><span>${question.label}</span>
            <input name="text" type=${question.type} value=${question.value} required min="1" maxlength="200" autofocus />
          </label>`}
        ${question.parameters?.map((one) => html`
          <${Field} key=${one.name} parameter=${one} given=${values.value[one.name]} change=${(value) => { values.value = { ...values.peek(), [one.name]: value }; }} />`)}
        ${refused.value && html`<p class="wrong" role="alert">${refused.value}</p>`}
        <div class="row end">
          <button type="button" onClick=${cancel}>Back</button>
          <button class=${question.danger ? "danger" : "primary"}>${question.action}</button>
        </div>
      </form>
    </dialog>`;
}
