// Choose the picture that is to be filled in, then paint over what should go.

import { html, useEffect, useSignal } from "../ui.js";
import { route } from "../router.js";
import * as draft from "../data/draft.js";
import { modelOf } from "../data/models.js";
import { addressOf, resultsOf, trainingJob } from "../data/pictures.js";
import { datasetOf } from "../data/datasets.js";
import { Brush } from "./brush.js";
import { attempt } from "./notices.js";
import { ACCEPT, usePasteAndDrop } from "./pictures-input.js";
import { Thumb } from "./picture.js";

export function Inpainting() {
  usePasteAndDrop();
  const model = modelOf(draft.modelIds.value[0]);
  const source = useSignal(null);
  const own = useSignal([]); // addresses of pictures that belong to the model
  const file = draft.files.value.at(-1);
  useEffect(() => {
    if (file?.bitmap) source.value = file.bitmap;
  }, [file?.id]);
  useEffect(() => {
    own.value = [];
    if (model) attempt(async () => take(await picturesOf(model)));
  }, [model?.id]);
  const take = async (found) => {
    const { job, name } = route.peek().query; // a picture that was looked at before
    own.value = job && name ? [`v1/jobs/${job}/artifacts/${name}`, ...found] : found;
    if (!source.peek() && own.value.length) source.value = await loaded(own.value[0]);
  };
  if (!model) return null;
  const pick = (event) => draft.addFiles(event.target.files);
  return html`
    <div class="inpainting">
      ${source.value
        ? html`<${Brush} key=${model.id} source=${source.value} side=${model.params.image_size} />`
        : html`<p class="lead">Choose a picture, drop one here or paste it.</p>`}
      <ul class="strip small" aria-label="Picture to fill in">
        <li><label class="button small">Your picture<input class="sr" type="file" name="picture" accept=${ACCEPT} onChange=${pick} /></label></li>
        ${own.value.map((src) => html`
          <li key=${src}><button type="button" class="tile" aria-label="Take this picture" onClick=${() => attempt(async () => { source.value = await loaded(src); })}><${Thumb} src=${src} /></button></li>`)}
      </ul>
      ${file && !file.bitmap && html`<p class="wrong" role="alert">This browser cannot show ${file.file.name}. Save it as PNG or JPEG first.</p>`}
    </div>`;
}

async function loaded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

// What the model learned from, and what it drew.
async function picturesOf(model) {
  const job = await trainingJob(model.id);
  if (!job) return [];
  const set = await datasetOf(job.dataset_id).catch(() => ({ images: [] }));
  return [...set.images.slice(0, 4).map((one) => one.url), ...resultsOf(job).slice(0, 4).map(addressOf)];
}
