// Who is signed in. The key becomes a cookie that no script can read; pictures and event streams carry it, too.

import { call, get, locked, send } from "./api.js";
import { signal } from "./ui.js";

export const key = signal(undefined); // {id, name, admin, …}, null if no key is needed, undefined until it is read

export async function loadSession() {
  const session = await get("v1/session");
  key.value = session.key;
  locked.value = false;
}

export async function signIn(text) {
  await send("v1/session", { key: text });
  location.reload(); // everything on the page belongs to a key
}

// Nothing of the key's is shown or asked for from here on; if it stays signed in, all of it is there again.
export async function signOut() {
  locked.value = true;
  try {
    await call("v1/session", { method: "DELETE" });
  } catch (error) {
    locked.value = false;
    throw error;
  }
}
