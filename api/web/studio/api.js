// Calls of the service's HTTP interface. All addresses are relative to the page's own.

import { signal } from "./ui.js";

const PROBE_MS = 2000;
const RETRY_MS = 2000;
const SESSION = "v1/session";

export const reachable = signal(true); // false while the service does not answer
export const locked = signal(false); // a key is needed and none is there: nothing else than a session is asked for
export const returned = signal(0); // counts how often the service came back

// A refusal in the service's own words. errors: [{field, message, file}]. absent: the id of what is not there, if that is why.
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `The service answered ${status}.`);
    this.status = status;
    this.errors = body.errors ?? [];
    this.absent = status === 404 ? /^there is no \w+ '(\w+)'/.exec(this.message)?.[1] : undefined;
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

// What was asked for, or null if there is no such thing.
export const ifThere = (asked) =>
  asked.catch((error) => {
    if (error.status !== 404) throw error;
    return null;
  });

// Do what reads from the service; if the service is away, do it again when it is back.
export async function patiently(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isAway(error)) throw error;
    }
    do await new Promise((done) => setTimeout(done, RETRY_MS));
    while (!reachable.peek());
  }
}

function requireKey(path) {
  if (locked.peek() && path !== SESSION) throw new Refused(401, {});
}

async function fetched(path, options) {
  requireKey(path);
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
  if (status === 401 && !(path === SESSION && method === "POST")) locked.value = true;
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
    requireKey(path);
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
  requireKey(path);
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
