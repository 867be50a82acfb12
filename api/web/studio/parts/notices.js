// Short messages about what was done or went wrong. An error stays until it is closed, the user tries something else, or goes
// to another view.

import { Refused, isAway, locked } from "../api.js";
import { computed, effect, html, signal, untracked } from "../ui.js";
import { route } from "../router.js";
import { forgetDeleted } from "../data/deleted.js";
import { pageWords, sentence, words } from "../format.js";
import { Icon } from "./icon.js";

const SHOWN_MS = 6000;
const notices = signal([]);
let last = 0;

export function say(text, kind = "said") {
  const id = (last += 1);
  notices.value = [...notices.peek().filter((one) => one.text !== text), { id, text, kind }];
  if (kind === "said") setTimeout(() => close(id), SHOWN_MS);
}

export function forgetErrors() {
  notices.value = notices.peek().filter((one) => one.kind !== "failed");
}

// They may name what belongs to the key that was signed in.
effect(() => {
  if (locked.value) notices.value = [];
});

const view = computed(() => [route.value.view, ...route.value.parts].join("/"));
effect(() => {
  if (view.value) untracked(forgetErrors);
});

// A refusal begins with the file or the setting that it is about, whose name stays as it is.
export function errorText({ message, errors = [], absent }) {
  if (!errors.length) return (absent && forgetDeleted(absent)) ?? sentence(message);
  return errors.slice(0, 3).map((one) => `${one.file ?? settingOf(one.field)}: ${pageWords(one.message)}.`).join(" ");
}

function settingOf(field) {
  const [, index, name] = field.match(/^params\.blend\[(\d+)\]\.(.*)$/) ?? [];
  return name ? `${words(name)} of added model ${Number(index) + 1}` : words(field.replace(/^params\./, ""));
}

// Run an action of the user. What it throws is shown in words, in the place of earlier errors; returns whether it went well.
export function attempt(action) {
  forgetErrors();
  return tried(action);
}

async function tried(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) say(errorText(error), "failed");
    return false;
  }
}

// The same for what the page does by itself: that the service is away, the banner says.
export const inBackground = (action) =>
  tried(() =>
    action().catch((error) => {
      if (!isAway(error)) throw error;
    }),
  );

const close = (id) => {
  notices.value = notices.peek().filter((one) => one.id !== id);
};

export const Notices = () => html`
  <div class="notices" role="log" aria-live="polite" aria-label="Messages">
    ${notices.value.map(({ id, text, kind }) => html`
      <div key=${id} class="notice ${kind}" role=${kind === "failed" ? "alert" : null}>
        <span>${text}</span>
        <button class="bare" type="button" aria-label="Close this message" onClick=${() => close(id)}><${Icon} name="close" /></button>
      </div>`)}
  </div>`;
