// What is uncertain about the classification that is being filled in, said before it starts.

import { html } from "../ui.js";
import { doubtsOf } from "../data/certainty.js";
import { modelIds } from "../data/draft.js";
import { given } from "../data/expected.js";
import { modelName, modelOf } from "../data/models.js";
import { count } from "../format.js";
import { Icon } from "./icon.js";

const SHOWN = 3; // the others are folded

export function Doubts() {
  const models = modelIds.value.map(modelOf).filter(Boolean);
  if (models.length < 2) return null;
  const doubts = doubtsOf(models, given("classify", models[0]), (model) => `“${modelName(model)}”`);
  if (!doubts.length) return null;
  const line = (one) => html`<p key=${one}><${Icon} name="warning" /><span>${one}</span></p>`;
  const folded = doubts.slice(SHOWN);
  return html`
    <section class="warnings" role="status" aria-label="What to know before it starts">
      ${doubts.slice(0, SHOWN).map(line)}
      ${folded.length > 0 && html`<details><summary>and ${count(folded.length, "more", "more")}</summary>${folded.map(line)}</details>`}
    </section>`;
}
