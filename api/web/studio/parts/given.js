// The pictures that a job was given: photographs, masks, a guide, each small and linked to the whole.

import { ifThere, patiently } from "../api.js";
import { html, useEffect, useSignal } from "../ui.js";
import { datasetOf, thumbnail } from "../data/datasets.js";
import { modelName, modelOf } from "../data/models.js";
import { isOpaque } from "../data/fit.js";
import { count } from "../format.js";
import { inBackground } from "./notices.js";
import { Thumb } from "./picture.js";

const SHOWN = 12; // pictures of a dataset

export function Given({ job }) {
  const sets = setsOf(job);
  if (!sets.length) return null;
  return html`
    <section aria-labelledby="given-title">
      <h2 id="given-title">What it was given</h2>
      <ul class="given">
        ${sets.map(({ id, title }, index) => html`<li key=${`${index} ${id}`}><${GivenSet} id=${id} title=${title} /></li>`)}
      </ul>
    </section>`;
}

// The datasets that a job names, with what each was for: [{id, title}].
function setsOf({ kind, dataset_id: own, params }) {
  const used = { train: "to learn from", inpaint: params.seam ? "to make tileable" : "to fill in", reconstruct: "to reconstruct", classify: "to classify" };
  const masks = (params.blend ?? []).map((one) => ({ id: one.mask_dataset_id, title: `where ${modelName(modelOf(one.model_id))} is drawn` }));
  return [
    { id: own, title: used[kind] },
    { id: params.start_dataset_id, title: "to begin with" },
    { id: params.end_dataset_id, title: "to pass to" },
    { id: params.guide_dataset_id, title: "to follow" },
    ...masks,
  ].filter(({ id }) => id);
}

function GivenSet({ id, title }) {
  const set = useSignal(undefined); // null if it was deleted
  useEffect(() => {
    inBackground(() => patiently(async () => { set.value = await ifThere(datasetOf(id)); }));
  }, [id]);
  const more = set.value ? set.value.images.length - SHOWN : 0;
  return html`
    <span class="hint">${title}</span>
    ${set.value === null && html`<p class="hint">Deleted</p>`}
    ${set.value && html`
      <ul class="row">
        ${set.value.images.slice(0, SHOWN).map((one) => html`
          <li key=${one.index}><a class="tile" href=${one.url} target="_blank" rel="noopener" title=${`${one.filename}, ${one.width} × ${one.height}`} aria-label=${`${one.filename}, ${one.width} by ${one.height} pixels, ${title}`}><${OnGround} picture=${one} /></a></li>`)}
        ${more > 0 && html`<li class="hint">and ${count(more, "more", "more")}</li>`}
      </ul>`}`;
}

// A small picture, on a checkered ground if parts of it are transparent.
function OnGround({ picture }) {
  const opaque = useSignal(true);
  return html`<span class="ground ${opaque.value ? "" : "checker"}"><${Thumb} src=${thumbnail(picture)} of=${picture} shaped onLoad=${({ target }) => { opaque.value = isOpaque(target); }} /></span>`;
}
