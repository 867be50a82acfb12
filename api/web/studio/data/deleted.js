// What was deleted, perhaps by another page, while this one shows it.

import { forgetDataset } from "./datasets.js";
import { modelName, modelOf, models } from "./models.js";

// Forget a model or pictures that the service does not have any more; return that in words, by the name that the page knows.
// absent: the id. null if it is something else.
export function forgetDeleted(absent) {
  const model = modelOf(absent);
  const called = modelName(model);
  if (model) models.value = models.peek().filter((one) => one !== model);
  if (absent.startsWith("model_")) return model ? `The model “${called}” was deleted meanwhile.` : "The model was deleted.";
  const name = forgetDataset(absent);
  if (absent.startsWith("dataset_")) return name ? `The pictures “${name}” were deleted meanwhile.` : "The pictures that it needs were deleted.";
  return null;
}
