// Models: what was learned.

import { html } from "../ui.js";

export const Models = () => html`<header class="view-head"><h1 tabindex="-1">Models</h1></header>`;
