// What is uncertain about the classification that is being filled in, said before it starts.

import { computed, html } from "../ui.js";
import { doubtsOf } from "../data/certainty.js";
import { modelIds } from "../data/draft.js";
import { complete } from "../data/expected.js";
import { modelName, modelOf } from "../data/models.js";
import { Icon } from "./icon.js";

// Of the models that are ticked.
export const doubts = computed(() => {
  const models = modelIds.value.map(modelOf).filter(Boolean);
  return models.length < 2 ? [] : doubtsOf(models, complete("classify", models[0]), (model) => `“${modelName(model)}”`);
});

export function Doubts() {
  if (!doubts.value.length) return null;
  return html`
    <section class="warnings" role="status" aria-labelledby="doubts-title">
      <h3 id="doubts-title">What to know before it starts</h3>
      ${doubts.value.map((one) => html`<p key=${one}><${Icon} name="warning" /><span>${one}</span></p>`)}
    </section>`;
}
