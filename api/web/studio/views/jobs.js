// Jobs: all of them, newest first.

import { computed, html, signal } from "../ui.js";
import { link } from "../router.js";
import { isFinal, jobOf, loaded, loadMore, order } from "../data/jobs.js";
import { addressOf, resultsOf, smallOf } from "../data/pictures.js";
import { ago } from "../format.js";
import { inBackground } from "../parts/notices.js";
import { Thumb } from "../parts/picture.js";
import { headline, Progress, Status, subtitleOf, titleOf } from "../parts/status.js";
import { Windowed } from "../parts/windowed.js";

const ROW_HEIGHT = 84;
const PHONE = matchMedia("(max-width: 680px)"); // as in style/views.css: there a job's words are wrapped
const [BESIDE_WORDS, CHARACTER, LINE, AROUND_LINES] = [90, 8, 19, 36]; // pixels, of rows on a phone
const [TITLE_LINES, WORD_LINES] = [2, 6]; // at most

const onPhone = signal(PHONE.matches);
PHONE.addEventListener("change", () => (onPhone.value = PHONE.matches));

// On a phone, the lengths of the words of each job; as text, which is the same after most steps: they place no row anew.
const lengths = computed(() => onPhone.value && JSON.stringify(order.value.map((id) => lengthsOf(jobOf(id).value))));

const lengthsOf = (job) => (job ? [`${titleOf(job)} ${subtitleOf(job)}`.length, headline(job).length] : [0, 0]);

// How high a row of words of these lengths is, in a list of a width.
function heightOf([title, words], width) {
  const lines = (length, most) => Math.min(Math.ceil((length * CHARACTER) / (width - BESIDE_WORDS)), most);
  return Math.max(ROW_HEIGHT, AROUND_LINES + LINE * (lines(title, TITLE_LINES) + lines(words, WORD_LINES)));
}

export function Jobs() {
  const found = lengths.value && JSON.parse(lengths.value);
  const cellHeight = (width, index) => (found ? heightOf(found[index], width) : ROW_HEIGHT);
  return html`
    <header class="view-head"><h1 tabindex="-1">Jobs</h1></header>
    ${loaded.value && order.value.length === 0
      ? html`<p class="empty">Nothing was made yet. <a href=${link("make", "texture")}>Begin with a texture</a>: it takes less than a minute.</p>`
      : html`<${Windowed} items=${order.value} cellHeight=${cellHeight} gap=${8} label="Jobs" onEnd=${() => inBackground(loadMore)}
          draw=${(id) => html`<${Row} id=${id} />`} />`}`;
}

function Row({ id }) {
  const job = jobOf(id).value;
  if (!job) return null;
  return html`
    <a class="job-row" href=${link("jobs", id)}>
      <${JobThumb} job=${job} />
      <span class="job-words">
        <span class="job-title"><strong>${titleOf(job)}</strong> <span class="quiet">${subtitleOf(job)}</span></span>
        <span class="quiet headline">${headline(job)}</span>
        ${!isFinal(job) && html`<${Progress} job=${job} />`}
      </span>
      <span class="job-side"><${Status} job=${job} /><span class="hint">${ago(job.created_at)}</span></span>
    </a>`;
}

// The first result, or while it is made the latest preview.
export function JobThumb({ job }) {
  const result = resultsOf(job)[0];
  const preview = job.artifacts.find((one) => one.name === "preview.png");
  const src = result ? smallOf(result) : job.preview ? `${job.preview.url}?${job.preview.sha256.slice(0, 12)}` : preview && addressOf(preview);
  return src ? html`<${Thumb} src=${src} />` : html`<span class="thumb blank"></span>`;
}
