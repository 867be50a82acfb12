// Uses the types that openapi-typescript makes of our OpenAPI document. Arguments: the service's URL, training parameters.
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, params] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url });

function required<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no data");
  return answer.data;
}

async function createJob(body: paths["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]) {
  return required(await api.POST("/v1/jobs", { body }));
}

async function follow(job_id: string): Promise<string[]> {
  const answer = await api.GET("/v1/jobs/{job_id}/events", { params: { path: { job_id } }, parseAs: "stream" });
  const names: string[] = [];
  let rest = "";
  for await (const piece of answer.data as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + new TextDecoder().decode(piece)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("event: ")) names.push(line.slice("event: ".length));
  }
  return names;
}

const form = new FormData();
form.append("images", new Blob([await readFile("stripes.png")], { type: "image/png" }), "stripes.png");
const dataset = required(await api.POST("/v1/datasets", { body: {}, bodySerializer: () => form }));

const learning = JSON.parse(params) as components["schemas"]["LearningOverrides"];
const job = await createJob({ kind: "train", dataset_id: dataset.id, preset: "quick", priority: 0, params: learning });
const events = await follow(job.id);

const { model_id } = required(await api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: job.id } } }));
if (model_id === null) throw new Error("the job has no model");
const path = { job_id: job.id, name: "synthesized-000.png" };
const picture = required(
  await api.GET("/v1/jobs/{job_id}/artifacts/{name}", { params: { path }, parseAs: "arrayBuffer" }),
);
const model = required(
  await api.GET("/v1/models/{model_id}/download", { params: { path: { model_id } }, parseAs: "arrayBuffer" }),
);

const sampled = await createJob({ kind: "sample", model_id, priority: 0, params: { count: 1, steps: 1, tileable: false } });
const { seed, ...others } = sampled.params as { seed: number; count: number; steps: number; tileable: boolean };
const again = await createJob({ kind: "sample", model_id, priority: 0, params: { ...others, seed } });

console.log(
  JSON.stringify({
    job: job.id,
    events,
    picture_bytes: picture.byteLength,
    model_bytes: model.byteLength,
    sampled: sampled.id,
    sampled_again: again.id,
  }),
);
await follow(sampled.id);
await follow(again.id);
