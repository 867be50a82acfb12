// Short messages about what was done or went wrong. Errors stay until they are closed.

import { Refused, isAway } from "../api.js";
import { html, signal } from "../ui.js";
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

// A refusal begins with the file or the setting that it is about, whose name stays as it is.
function told({ message, errors = [] }) {
  if (!errors.length) return sentence(message);
  return errors.slice(0, 3).map((one) => `${one.file ?? words(one.field.replace(/^params\./, ""))}: ${pageWords(one.message)}.`).join(" ");
}

// Run an action of the user. What it throws is told in words; returns whether it went well.
export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) say(told(error), "failed");
    return false;
  }
}

// The same for what the page does by itself: that the service is away, the banner says.
export const inBackground = (action) =>
  attempt(() =>
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
