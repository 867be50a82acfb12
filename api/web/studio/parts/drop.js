// Files that are dropped anywhere on the page, and pictures that are pasted. A browser would open what is dropped, and
// leave the page.

import { locked } from "../api.js";
import { signal } from "../ui.js";
import { go, route } from "../router.js";
import * as draft from "../data/draft.js";
import { attempt, say } from "./notices.js";

export const dropping = signal(false); // files are held over the page

export function takeDropsAndPastes() {
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("paste", ({ clipboardData: { files } }) => files.length && !locked.peek() && takesHere() && draft.addFiles(files));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    dropping.value = true;
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) dropping.value = false;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    dropping.value = false;
    const files = [...event.dataTransfer.files]; // they are there only now
    if (files.length && !locked.peek()) attempt(() => take(files));
  });
}

const takesPictures = () => draft.wantsPictures.peek() || draft.kindId.peek() === "inpaint";
const takesHere = () => route.peek().view === "make" && takesPictures();

// Where no pictures are wanted, what may be some is taken to Make.
async function take(files) {
  if (takesHere()) return await draft.addFiles(files);
  const pictures = files.filter(isPictureOrZip);
  const other = files.find((file) => !pictures.includes(file));
  if (other) say(`${other.name} is neither a picture nor a zip of pictures.${isModel(other) ? " Import models at Models." : ""}`, "noted");
  if (!pictures.length) return;
  if (!takesPictures()) draft.choose("texture");
  await draft.addFiles(pictures);
  go("make", draft.kindId.peek());
}

const isModel = ({ name }) => /\.safetensors$/i.test(name);
const isPictureOrZip = (file) => !isModel(file) && !draft.isNoPicture({ file });
