// Curves over the iterations, drawn by uPlot. A table beside them says the latest values in words.

import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef } from "../ui.js";

const HEIGHT = 150;
const sync = uPlot.sync("learning");

// lines: [{label, colour, values, dash}], colour the name of a custom property. x: the steps. starts: steps at which stages begin.
export function Chart({ title, about, x, lines, range, starts = [] }) {
  const ref = useRef();
  const plot = useRef(null);
  const shape = lines.map((line) => line.label).join("|");
  useEffect(() => {
    const colours = new Colours(ref.current);
    plot.current = new uPlot(optionsOf(colours, ref.current.clientWidth, lines, range, starts), [x, ...lines.map((line) => line.values)], ref.current);
    const observer = new ResizeObserver(() => ref.current && plot.current?.setSize({ width: ref.current.clientWidth, height: HEIGHT }));
    observer.observe(ref.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => {
      colours.forget();
      plot.current?.redraw(false);
    };
    scheme.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", redraw);
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData([x, ...lines.map((line) => line.values)]);
  }, [x]);
  return html`
    <figure class="chart">
      <figcaption><strong>${title}</strong><span class="hint">${about}</span></figcaption>
      <div ref=${ref} class="plot" aria-hidden="true"></div>
      <dl class="legend">
        ${lines.map((line) => html`<div key=${line.label}><dt style=${{ "--line": `var(${line.colour})` }} class=${line.dash ? "dashed" : ""}>${line.label}</dt><dd>${latest(line.values)}</dd></div>`)}
      </dl>
    </figure>`;
}

function optionsOf(colours, width, lines, range, starts) {
  const colour = (name) => () => colours.of(name);
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: sync.key }, points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: { time: false }, y: range ? { range } : {} },
    hooks: { drawAxes: [(plot) => drawStarts(plot, starts, colours.of("--quiet"))] },
    axes: [{ ...axis, size: 26, space: 70 }, { ...axis, size: 44, space: 28 }],
    series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.5, dash: line.dash, points: { show: false }, spanGaps: true }))],
  };
}

// Draw a dotted line at each of the steps that is within the chart.
function drawStarts({ ctx, bbox: { top, height }, scales, valToPos }, starts, colour) {
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const step of starts.filter((one) => one > scales.x.min && one < scales.x.max)) {
    const left = Math.round(valToPos(step, "x", true));
    ctx.beginPath();
    ctx.moveTo(left, top);
    ctx.lineTo(left, top + height);
    ctx.stroke();
  }
  ctx.restore();
}

// The colours that custom properties have now; a canvas cannot read light-dark(). uPlot asks for one at each stroke, and
// the browser styles the page anew to answer, so they are kept until the scheme changes.
class Colours {
  #host;
  #found = new Map();

  constructor(host) {
    this.#host = host;
  }

  of(name) {
    if (!this.#found.has(name)) {
      this.#host.style.color = `var(${name})`;
      this.#found.set(name, getComputedStyle(this.#host).color);
      this.#host.style.color = "";
    }
    return this.#found.get(name);
  }

  forget() {
    this.#found.clear();
  }
}

function latest(values) {
  const last = values.findLast((one) => one !== null && one !== undefined);
  return last === undefined ? "none yet" : Number(last.toPrecision(3)).toLocaleString("en");
}
