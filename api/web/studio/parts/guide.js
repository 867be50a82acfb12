// A picture whose light, dark and colours new pictures follow, and how strongly.

import { html } from "../ui.js";
import * as draft from "../data/draft.js";
import { Field } from "./field.js";
import { Icon } from "./icon.js";
import { AsSeen } from "./crop.js";
import { ACCEPT } from "./pictures-input.js";

// strength: the parameter guide_strength.
export function Guide({ strength }) {
  const guide = draft.guide.value;
  const pick = (event) => event.target.files[0] && draft.follow(event.target.files[0]);
  const error = draft.problems.value.find((one) => /^(params\.guide_|dataset_id)/.test(one.field ?? "") && one.field !== "params.guide_strength");
  return html`
    <fieldset class="guide">
      <legend>Follow a picture</legend>
      <div class="row">
        ${guide?.bitmap && html`<span class="thumb"><${AsSeen} source=${guide.bitmap} size=${96} label="The picture to follow" /></span>`}
        <label class="button small"><${Icon} name="photo" />${guide ? guide.file.name : "Choose a picture"}<input class="sr" type="file" name="guide" accept=${ACCEPT} onChange=${pick} /></label>
        ${guide && html`<button type="button" class="small" onClick=${() => draft.follow(null)}>Follow none</button>`}
      </div>
      <p class="hint">${error?.message ?? "A sketch or a photograph that says where it is to be light and dark, and in which colours."}</p>
      ${guide && strength && html`
        <${Field} parameter=${strength} given=${draft.overrides.value.guide_strength} change=${(value) => draft.override("guide_strength", value)}
          error=${draft.problems.value.find((one) => one.field === "params.guide_strength")?.message} />`}
    </fieldset>`;
}
