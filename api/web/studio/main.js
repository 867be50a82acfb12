// The page: its frame, the view that the address names, and what keeps it up to date.

import { attempt, inBackground, Notices } from "./parts/notices.js";
import { Dialogs } from "./parts/dialog.js";
import { takeDropsAndPastes } from "./parts/drop.js";
import { Icon } from "./parts/icon.js";
import { titleOf } from "./parts/status.js";
import { percent } from "./format.js";
import { locked, reachable, suspect } from "./api.js";
import { html, render, useEffect } from "./ui.js";
import { link, route, scrollBefore, startRouter } from "./router.js";
import { key, loadSession, signOut } from "./session.js";
import { applyEvent, jobOf, loadJob, loadNewest, unfinished } from "./data/jobs.js";
import { fillIn, forgetKept, startKeeping } from "./kept.js";
import { startFeed } from "./data/feed.js";
import { continueSeries, loadPreviews, loadSeries } from "./data/series.js";
import { loadDatasets } from "./data/datasets.js";
import { loadModels, modelOf } from "./data/models.js";
import { loadPresets, presets } from "./data/presets.js";
import { Beside } from "./views/beside.js";
import { Gallery } from "./views/gallery.js";
import { Job } from "./views/job.js";
import { Jobs } from "./views/jobs.js";
import { Make } from "./views/make.js";
import { Models } from "./views/models.js";
import { SignIn } from "./views/sign-in.js";

const NAVIGATION = [["make", "Make"], ["jobs", "Jobs"], ["gallery", "Gallery"], ["models", "Models"]];
const VIEWS = { make: Make, jobs: Jobs, gallery: Gallery, models: Models, beside: Beside };

function App() {
  const { view, parts } = route.value;
  useEffect(focusHeading, [view, view === "make" ? "" : parts[0]]);
  const title = locked.value ? "genconvnet" : titleFor(view, parts); // read here, so that it follows what it names
  useEffect(() => {
    document.title = title;
  }, [title]);
  if (locked.value) return html`<${SignIn} /><${Notices} />`;
  const View = view === "jobs" && parts.length ? Job : VIEWS[view] ?? Missing;
  return html`
    <a class="skip" href="#main" onClick=${skip}>To the content</a>
    <header class="top">
      <a class="brand" href=${link("make")}><${Mark} />genconvnet</a>
      <nav aria-label="Views">
        ${NAVIGATION.map(([name, title]) => html`
          <a key=${name} href=${link(name)} aria-current=${view === name ? "page" : null}><${Icon} name=${name} />${title}${name === "jobs" && html`<${Active} />`}</a>`)}
      </nav>
      <${Account} />
    </header>
    ${!reachable.value && html`<p class="banner" role="status">The service does not answer. Your jobs are kept; the page goes on when it is back.</p>`}
    <main id="main"><${View} key=${view} parts=${parts} /></main>
    <${Notices} /><${Dialogs} />`;
}

// The tab says how far its job is.
function titleFor(view, [id]) {
  const job = view === "jobs" && id ? jobOf(id).value : null;
  const model = view === "models" && id ? modelOf(id) : null;
  const place = NAVIGATION.find(([name]) => name === view)?.[1] ?? "genconvnet";
  if (model) return `${model.name ?? model.id} · genconvnet`;
  if (!job) return `${place} · genconvnet`;
  const state = job.status === "running" ? percent(job.progress.fraction) : job.status;
  return `${state} · ${titleOf(job)} · genconvnet`;
}

const Mark = () => html`<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><rect x="3" y="3" width="8" height="8" rx="2" /><rect x="13" y="3" width="8" height="8" rx="2" opacity=".6" /><rect x="3" y="13" width="8" height="8" rx="2" opacity=".3" /><circle cx="17" cy="17" r="4" /></svg>`;

function Active() {
  const active = unfinished.value.length;
  return active ? html`<span class="badge" aria-label=${`${active} not finished`}>${active}</span>` : null;
}

function Account() {
  return html`
    <div class="account">
      <a class="quiet-link" href="docs">API</a>
      ${key.value && html`<span class="quiet" title="The key you signed in with">${key.value.name}</span>
        <button class="small" type="button" onClick=${() => attempt(leave)}>Sign out</button>`}
    </div>`;
}

// What was filled in is the key's, as everything on the page is.
async function leave() {
  await signOut();
  forgetKept();
  location.reload();
}

const Missing = () => html`<header class="view-head"><h1 tabindex="-1">There is no such page</h1></header><p class="empty"><a href=${link("make")}>Make something</a> instead.</p>`;

let first = true;

// A reader of the screen hears where a link led. The first view needs no announcement; a part of it takes the focus itself.
function focusHeading() {
  const toPart = route.peek().query.part && !scrollBefore();
  first &&= !toPart;
  if (toPart) return;
  if (!first && !document.querySelector("dialog[open]")) document.querySelector("main h1")?.focus({ preventScroll: true });
  if (!first) scrollDown(scrollBefore(), route.peek());
  first = false;
}

let touched = 0; // counts what the user does that may scroll
for (const name of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(name, () => (touched += 1), { passive: true, capture: true });

// A list has its height only after it was measured. What the user does meanwhile counts more.
function scrollDown(top, at, tries = 20, before = touched) {
  if (touched !== before || route.peek() !== at) return;
  scrollTo(0, top);
  if (Math.abs(scrollY - top) > 1 && tries) requestAnimationFrame(() => scrollDown(top, at, tries - 1, before));
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main h1")?.focus();
}

function onEvent(name, data) {
  continueSeries(name, data);
  inBackground(() => applyEvent(name, data));
}

// Read again what events may have changed while none were received.
async function refresh() {
  const { view, parts } = route.peek();
  const missed = [...(key.peek() === undefined ? [loadSession] : []), ...(presets.peek() ? [] : [loadPresets])];
  await Promise.all([loadNewest, loadModels, loadDatasets, ...missed].map((load) => inBackground(load)));
  if (view !== "jobs" || !parts[0]) return;
  await inBackground(() => loadJob(parts[0]));
  await inBackground(() => Promise.all([loadSeries(parts[0]), loadPreviews(parts[0])]));
}

async function begin() {
  startRouter();
  takeDropsAndPastes();
  fillIn();
  const place = document.getElementById("app");
  place.replaceChildren();
  render(html`<${App} />`, place);
  await inBackground(loadSession);
  if (locked.peek()) return;
  inBackground(startKeeping);
  startFeed(onEvent, refresh);
  for (const change of ["offline", "online"]) addEventListener(change, suspect); // of which an open stream may not tell
  [loadPresets, loadModels, loadNewest, loadDatasets].forEach((load) => inBackground(load));
}

begin();
