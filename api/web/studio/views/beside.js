// Two pictures side by side; both are enlarged and moved together.

import { ifThere, patiently } from "../api.js";
import { html, useEffect, useSignal } from "../ui.js";
import { link } from "../router.js";
import { jobOf, loadJob } from "../data/jobs.js";
import { addressOf } from "../data/pictures.js";
import { Icon } from "../parts/icon.js";
import { inBackground } from "../parts/notices.js";
import { useZoom, ZoomArea, ZoomTools } from "../parts/zoom-area.js";

export function Beside({ parts: [oneJob, oneName, otherJob, otherName] }) {
  const zoom = useZoom();
  const sides = [[oneJob, oneName], [otherJob, otherName]];
  const absent = useSignal([]); // ids of jobs that are not there
  useEffect(() => {
    for (const [id] of sides) if (!jobOf(id).peek()) inBackground(() => read(id));
  }, [oneJob, otherJob]);
  const read = async (id) => {
    if (!(await patiently(() => ifThere(loadJob(id))))) absent.value = [...absent.peek(), id];
  };
  const artifacts = sides.map(([id, name]) => jobOf(id).value?.artifacts.find((one) => one.name === name));
  const frame = ["width", "height"].map((side) => Math.max(...artifacts.map((one) => one?.[side] ?? 1)));
  return html`
    <a class="back" href=${link("gallery")}><${Icon} name="back" />Gallery</a>
    <header class="view-head"><h1 tabindex="-1">Side by side</h1></header>
    <div class="beside-areas">
      ${sides.map(([id, name], index) => {
        const artifact = artifacts[index];
        if (jobOf(id).value && !artifact || absent.value.includes(id)) return html`<p key=${index} class="empty">This picture is not here: it was deleted, or belongs to another key.</p>`;
        if (!artifact) return html`<p key=${index} class="hint" role="status">Reading the picture</p>`;
        return html`
          <figure key=${index}>
            <div class="beside-area"><${ZoomArea} pictures=${[shown(artifact)]} frame=${frame} label=${name} zoom=${zoom} /><${ZoomTools} zoom=${zoom} /></div>
            <figcaption class="row"><a href=${link("jobs", id, name)}>${name}</a><span class="hint">${artifact.width} × ${artifact.height}, seed ${String(jobOf(id).value.params.seed ?? "none")}</span></figcaption>
          </figure>`;
      })}
    </div>`;
}

const shown = (artifact) => ({ src: addressOf(artifact), width: artifact.width, height: artifact.height });
