// Calls of the service's HTTP interface. All addresses are relative to the page's own.

import { signal } from "./ui.js";

const PROBE_MS = 2000;

export const reachable = signal(true); // false while the service does not answer
export const locked = signal(false); // true if a key is needed and none is there
export const returned = signal(0); // counts how often the service came back

// A refusal in the service's own words. errors: [{field, message, file}].
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `The service answered ${status}.`);
    this.status = status;
    this.errors = body.errors ?? [];
  }
}

export class Unreachable extends Error {
  constructor() {
    super("The service does not answer. Nothing is lost: the page goes on when it is back.");
  }
}

// Whether the same request may be answered later: the service, or a part of it, is away.
export const isAway = (error) => error instanceof Unreachable || [502, 503, 504].includes(error.status);

export async function call(path, options = {}) {
  const { status, body } = await fetched(path, options);
  return accepted(status, body, path, options.method);
}

async function fetched(path, options) {
  let status, text;
  try {
    const answer = await fetch(path, options);
    status = answer.status;
    text = await answer.text(); // may break off as well
  } catch {
    lost();
    throw new Unreachable();
  }
  return { status, body: status === 204 ? null : parsed(text) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) || undefined };
  }
}

function accepted(status, body, path, method) {
  if (status === 401 && !(path === "v1/session" && method === "POST")) locked.value = true;
  if (status >= 400) throw new Refused(status, body);
  return body;
}

export const get = (path) => call(path);
export const remove = (path) => call(path, { method: "DELETE" });
export const send = (path, body, method = "POST", headers = {}) =>
  call(path, { method, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });

// Upload a form. report(share) is called with how much has been sent; fetch cannot tell that.
export function upload(path, form, report = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.upload.onprogress = (event) => event.lengthComputable && report(event.loaded / event.total);
    request.onerror = () => {
      lost();
      reject(new Unreachable());
    };
    request.onload = () => {
      try {
        resolve(accepted(request.status, parsed(request.responseText), path, "POST"));
      } catch (error) {
        reject(error);
      }
    };
    request.send(form);
  });
}

// Read a file of the service, such as a result.
export async function fileOf(path, name) {
  let answer, content;
  try {
    answer = await fetch(path);
    content = await answer.blob();
  } catch {
    lost();
    throw new Unreachable();
  }
  if (!answer.ok) accepted(answer.status, parsed(await content.text()), path);
  return new File([content], name, { type: content.type });
}

let probing = false;

// Note that the service did not answer, and ask until it does.
export function lost() {
  reachable.value = false;
  suspect();
}

// Ask whether the service answers, because a connection broke; say so only if it does not.
export async function suspect() {
  if (probing) return;
  probing = true;
  while (!(await answers())) {
    reachable.value = false;
    await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
  }
  probing = false;
  reachable.value = true;
  returned.value += 1;
}

async function answers() {
  try {
    return (await fetch("healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
