// Choose the picture that is to be filled in, then paint over what should go.

import { ifThere, patiently } from "../api.js";
import { drawCovering } from "../canvas.js";
import { html, useEffect, useSignal } from "../ui.js";
import { forget, route } from "../router.js";
import * as draft from "../data/draft.js";
import { modelOf } from "../data/models.js";
import { addressOf, loaded, resultsOf, trainingJob } from "../data/pictures.js";
import { datasetOf } from "../data/datasets.js";
import { Brush } from "./brush.js";
import { Mask } from "./mask.js";
import { attempt, inBackground } from "./notices.js";
import { ACCEPT } from "./pictures-input.js";
import { Thumb } from "./picture.js";

let taken = null; // id of the last file that was taken

export function Inpainting() {
  const model = modelOf(draft.modelIds.value[0]);
  const own = useSignal([]); // pictures that belong to the model, as [{url, name}]
  const file = draft.files.value.at(-1);
  const hole = draft.presentHole.value;
  useEffect(() => {
    if (!model || !file?.bitmap || file.id === taken) return;
    taken = file.id;
    choose(file.bitmap, { name: file.file.name });
  }, [model?.id, file?.id]);
  useEffect(() => {
    own.value = [];
    if (!model) return;
    let current = true;
    inBackground(async () => {
      const found = await patiently(() => picturesOf(model));
      if (current) await offer(found);
    });
    return () => {
      current = false;
    };
  }, [model?.id, !hole]);
  const choose = (source, about) => {
    forget("job", "name");
    take(model, source, about);
  };
  const offer = async (found) => {
    const { job, name } = route.peek().query; // a picture that was looked at before
    const asked = job && name ? { url: `v1/jobs/${job}/artifacts/${name}`, name } : null;
    own.value = asked ? [asked, ...found] : found;
    const held = draft.hole.peek();
    if (held?.modelId === model.id && (!asked || held.url === asked.url)) return;
    const again = held?.source && !asked; // by another model
    if (!again && !own.value.length) return;
    const source = again ? held.source : await loaded(own.value[0].url);
    if (draft.hole.peek() === held) take(model, source, again ? held : own.value[0], again ? held.mask.canvas : null);
  };
  if (!model) return null;
  const pick = (event) => draft.addFiles(event.target.files);
  const changed = () => {
    draft.hole.value = { ...hole, share: hole.mask.share() };
  };
  return html`
    <div class="inpainting">
      ${hole
        ? html`<${Brush} mask=${hole.mask} ground=${hole.picture} label="what should go" changed=${changed} />`
        : html`<p class="lead">Choose a picture, drop one here or paste it.</p>`}
      <ul class="strip small" aria-label="Picture to fill in">
        <li><label class="button small">Your picture<input class="sr" type="file" name="picture" accept=${ACCEPT} onChange=${pick} /></label></li>
        ${own.value.map((one) => html`
          <li key=${one.url}><button type="button" class="tile" aria-label=${`Take ${one.name}`} onClick=${() => attempt(async () => choose(await loaded(one.url), one))}><${Thumb} src=${one.url} /></button></li>`)}
      </ul>
      ${file && !file.bitmap && html`<p class="wrong" role="alert">This browser cannot show ${file.file.name}. Save it as PNG or JPEG first.</p>`}
    </div>`;
}

// Fill in this picture, at first where it is transparent. url: its address, if it is stored. painted: a picture of what
// was painted over before.
export function take({ id, params: { image_size: side } }, source, { url = null, name }, painted = null) {
  const picture = document.createElement("canvas");
  drawCovering(picture, source, [side, side], null);
  const mask = new Mask(side, side);
  if (painted) mask.takePainted(painted);
  else mask.takeTransparent(picture);
  draft.hole.value = { modelId: id, url, name, source, picture, mask, share: mask.share() };
}

// What the model learned from, and what it drew.
async function picturesOf(model) {
  const job = await trainingJob(model.id);
  if (!job) return [];
  const set = await ifThere(datasetOf(job.dataset_id));
  const learned = (set?.images ?? []).slice(0, 4).map(({ url, filename: name }) => ({ url, name }));
  return [...learned, ...resultsOf(job).slice(0, 4).map((one) => ({ url: addressOf(one), name: one.name }))];
}
