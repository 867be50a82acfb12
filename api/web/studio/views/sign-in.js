// Sign in with a key of the service.

import { html, signal } from "../ui.js";
import { signIn } from "../session.js";
import { sentence } from "../format.js";

const trouble = signal(null);
const trying = signal(false);

async function submit(event) {
  event.preventDefault();
  trouble.value = null;
  trying.value = true;
  try {
    await signIn(new FormData(event.target).get("key").trim());
  } catch (error) {
    trouble.value = error.status === 401 ? "This key is unknown, revoked or expired. Keys begin with gcn_ or are as printed by the person who runs the service." : sentence(error.message);
  }
  trying.value = false;
}

export const SignIn = () => html`
  <main class="sign-in">
    <h1>genconvnet</h1>
    <p class="lead">This service needs a key. What you make with it is seen by its holder only.</p>
    <form onSubmit=${submit}>
      <label class="field"><span>Your key</span>
        <input name="key" type="password" autocomplete="current-password" required maxlength="200" autofocus aria-invalid=${trouble.value ? "true" : null} aria-describedby="key-about" />
      </label>
      <p id="key-about" class=${trouble.value ? "wrong" : "hint"} role=${trouble.value ? "alert" : null}>${trouble.value ?? "Whoever runs the service creates it: genconvnet keys create NAME"}</p>
      <button class="primary large" disabled=${trying.value}>Sign in</button>
    </form>
  </main>`;
