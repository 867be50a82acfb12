// Watch: one job as it goes on, and what came out.

import { html, signal, useEffect } from "../ui.js";
import { leave, link } from "../router.js";
import { certaintyOf } from "../data/certainty.js";
import { jobOf, loadJob } from "../data/jobs.js";
import { loadPreviews, loadSeries } from "../data/series.js";
import { modelName, modelOf } from "../data/models.js";
import { count, pageWords, sentence } from "../format.js";
import { Classification } from "../parts/classification.js";
import { Curves } from "../parts/curves.js";
import { Given } from "../parts/given.js";
import { Icon } from "../parts/icon.js";
import { JobActions } from "../parts/job-actions.js";
import { JobSettings } from "../parts/job-settings.js";
import { inBackground } from "../parts/notices.js";
import { OtherFiles, Results } from "../parts/results.js";
import { hasStage, Stage } from "../parts/stage.js";
import { headline, Progress, Status, subtitleOf, titleOf } from "../parts/status.js";
import { Viewer } from "../parts/viewer.js";
import { Walks } from "../parts/walks.js";

const QUEUE_MS = 10_000; // between two looks at the queue, while the job waits in it
const gone = signal(null); // the id of a job that is not there

export function Job({ parts: [id, name] }) {
  useEffect(() => {
    gone.value = null;
    read(id);
  }, [id]);
  const job = jobOf(id).value;
  useEffect(() => {
    if (job?.status !== "queued") return;
    const timer = setInterval(() => document.hidden || loadJob(id).catch(() => {}), QUEUE_MS); // no event tells of others' jobs
    return () => clearInterval(timer);
  }, [id, job?.status]);
  if (gone.value === id) {
    return html`<header class="view-head"><h1 tabindex="-1">This job is not here</h1></header>
      <p class="empty">It was deleted, or belongs to another key. <a href=${link("jobs")}>All jobs</a></p>`;
  }
  if (!job) return html`<header class="view-head"><h1 tabindex="-1">Job</h1></header><p class="hint" role="status">Reading the job</p>`;
  const learning = job.kind === "train";
  return html`
    <div class="job">
      <a class="back" href=${link("jobs")}><${Icon} name="back" />Jobs</a>
      <header class="job-head">
        <h1 tabindex="-1">${titleOf(job)} <span class="quiet">${subtitleOf(job)}</span></h1>
        <div class="row"><${Status} job=${job} /><span class="headline" aria-live="off">${headline(job)}</span></div>
        <${Progress} job=${job} />
        <p class="sr" role="status">${spoken(job)}</p>
      </header>
      <div class="job-columns">
        <div class="job-main">
          ${hasStage(job) && html`<${Stage} job=${job} />`}
          ${job.kind === "classify" && job.status === "succeeded" && html`<${Classification} job=${job} />`}
          <${Walks} job=${job} />
          ${learning ? html`<div class="job-pair"><${Given} job=${job} /><${Results} job=${job} beside /></div>` : html`<${Results} job=${job} /><${Given} job=${job} />`}
          <${OtherFiles} job=${job} />
        </div>
        <aside class="job-aside" aria-label="About this job">
          <${JobActions} job=${job} />
          <${Warnings} job=${job} />
          <${JobSettings} job=${job} />
        </aside>
      </div>
      ${learning && html`<${Curves} job=${job} />`}
      ${name && html`<${Viewer} key=${id} job=${job} name=${name} close=${() => leave("jobs", id)} />`}
    </div>`;
}

async function read(id) {
  await inBackground(async () => {
    const job = await loadJob(id).catch((error) => {
      if (error.status !== 404) throw error;
      gone.value = id;
    });
    if (!job?.started_at) return;
    await Promise.all([...(job.kind === "train" ? [loadSeries(id)] : []), loadPreviews(id)]);
  });
}

// What a screen reader says when it changes: the state, not each step.
function spoken(job) {
  const tenths = Math.floor(10 * job.progress.fraction) * 10;
  return job.status === "running" ? `At work, ${tenths} percent` : `${titleOf(job)}: ${headline(job)}`;
}

const WARNINGS_SHOWN = 2; // the others are folded, unless they say why nothing is decided

function Warnings({ job }) {
  const warnings = job.metrics.warnings ?? job.metrics.remarks ?? [];
  if (!warnings.length) return null;
  const line = (one) => html`<p key=${one}><${Icon} name="warning" /><span>${withModelNames(sentence(pageWords(one)))}</span></p>`;
  const shown = job.kind === "classify" && certaintyOf(job.metrics) !== "probabilities" ? warnings.length : WARNINGS_SHOWN;
  const folded = warnings.slice(shown);
  return html`
    <section class="warnings" aria-label="What to know about the result">
      ${warnings.slice(0, shown).map(line)}
      ${folded.length > 0 && html`<details><summary>and ${count(folded.length, "more", "more")}</summary>${folded.map(line)}</details>`}
    </section>`;
}

// A model that is known by its name rather than by its id.
const withModelNames = (text) => text.replace(/model (model_\w+)/gi, (said, id) => (modelOf(id) ? `model “${modelName(modelOf(id))}”` : said)).replace(/^model/, "Model");
