// Figures that the reader steers: src/hierlearn/drawing/steered.py writes a static figure and a table of all
// states into the page; this draws the state that the controls ask for. It computes no statistic.
(() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const MARKERS = {
    o: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    s: "M-3.5-3.5h7v7h-7Z",
    "^": "M0-4.5L4.3 3.5H-4.3Z",
    D: "M0-5L4.4 0L0 5L-4.4 0Z",
    v: "M0 4.5L4.3-3.5H-4.3Z",
    P: "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
  };
  const SPARSE = 12; // as in steered.py
  const LINE = 1.8;

  function add(parent, tag, attributes = {}, text = "") {
    const svg = tag === "svg" || parent.namespaceURI === NAMESPACE;
    const made = svg ? document.createElementNS(NAMESPACE, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(text);
    return parent.appendChild(made);
  }

  const place = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

  // The function from values of an axis to pixels.
  function scale(axis, from, to) {
    const f = axis.log ? Math.log : (value) => value;
    const [low, high] = axis.limits.map(f);
    return (value) => from + ((f(value) - low) / (high - low)) * (to - from);
  }

  function drawAxes(svg, axes, steps, box) {
    const line = { stroke: "currentColor", "stroke-width": 0.8, fill: "none" };
    const faint = { ...line, "stroke-opacity": 0.13 };
    let free = -Infinity; // where the last label of the horizontal axis ends
    for (const [value, text] of axes.x.ticks) {
      const x = box.x(value);
      add(svg, "path", { ...faint, d: `M${place(x, box.top)}V${box.bottom}` });
      add(svg, "path", { ...line, d: `M${place(x, box.bottom)}v4` });
      const half = 3.5 * text.length + 3;
      if (x - half < free) continue;
      free = x + half;
      add(svg, "text", { x, y: box.bottom + 17, "text-anchor": "middle" }, text);
    }
    for (const [value, text] of axes.y.ticks) {
      const y = box.y(value);
      add(svg, "path", { ...faint, d: `M${place(box.left, y)}H${box.right}` });
      add(svg, "path", { ...line, d: `M${place(box.left, y)}h-4` });
      add(svg, "text", { x: box.left - 7, y: y + 4, "text-anchor": "end" }, text);
    }
    add(svg, "path", { ...line, d: `M${place(box.left, box.top)}V${box.bottom}H${box.right}` });
    for (const [, value] of steps) {
      const dashes = { stroke: "var(--hl-neutral)", "stroke-dasharray": "3 2" };
      add(svg, "path", { ...dashes, d: `M${place(box.x(value), box.top)}V${box.bottom}` });
    }
    add(svg, "text", { x: 4, y: 14, class: "hl-steer-title" }, axes.y.label);
    const middle = (box.left + box.right) / 2;
    add(svg, "text", { x: middle, y: box.bottom + 36, "text-anchor": "middle" }, axes.x.label);
  }

  // The labels of the vertical lines, over the data; those that would overlap go below each other.
  function drawSteps(svg, steps, box) {
    let row = 0;
    let taken = -Infinity;
    for (const [text, value] of steps) {
      const x = box.x(value);
      row = x < taken ? row + 1 : 0;
      taken = x + 8 + 7 * text.length;
      const left = taken > box.right;
      const anchor = { "text-anchor": left ? "end" : "start", class: "hl-steer-step" };
      add(svg, "text", { x: x + (left ? -8 : 8), y: box.top + 10 + 14 * row, ...anchor }, text);
    }
  }

  function drawSeries(svg, series, style, box) {
    const { x, y, low, high, kind } = series;
    const points = x.map((value, i) => place(box.x(value), box.y(y[i])));
    const ends = (values) => x.map((value, i) => place(box.x(value), box.y(values[i])));
    if (low && kind === "points") {
      const bars = ends(low).map((from, i) => `M${from}L${ends(high)[i]}`);
      add(svg, "path", { d: bars.join(""), stroke: style.color, "stroke-width": 1.4 });
    } else if (low) {
      const around = [...ends(high), ...ends(low).reverse()];
      add(svg, "path", { d: `M${around.join("L")}Z`, fill: style.color, "fill-opacity": 0.18 });
    }
    if (kind !== "points") drawLine(svg, `M${points.join("L")}`, style);
    const every = Math.ceil(x.length / SPARSE);
    for (let i = 0; style.marker && i < x.length; i += every) {
      const at = points[i].replace(" ", ",");
      add(svg, "path", { d: MARKERS[style.marker], fill: style.color, transform: `translate(${at})` });
    }
  }

  function drawLine(svg, d, style) {
    const dash = style.dash.split(" ").filter(Boolean).map((length) => length * LINE);
    const line = { d, fill: "none", stroke: style.color, "stroke-width": LINE };
    add(svg, "path", { ...line, "stroke-dasharray": dash.join(" ") || "none" });
  }

  function drawLegend(legend, series, styles) {
    legend.replaceChildren();
    for (const one of series) {
      const style = styles[one.style];
      const item = add(legend, "li");
      const swatch = add(item, "svg", { width: 36, height: 12, "aria-hidden": "true" });
      if (one.kind !== "points") drawLine(swatch, "M1 6H35", style);
      const fill = { fill: style.color, transform: "translate(18,6)" };
      if (style.marker) add(swatch, "path", { d: MARKERS[style.marker], ...fill });
      item.append(style.label);
    }
  }

  // A slider or a menu with its label; returns a function that says which value is chosen.
  function addControl(parent, control, id, start, changed) {
    const row = add(parent, "div", { class: "hl-steer-control" });
    if (control.words.length === 1) {
      add(row, "span", { class: "hl-steer-label" }, control.label);
      const only = `${control.words[0]} (the only one in these records)`;
      add(row, "span", { class: "hl-steer-only" }, only);
      return () => 0;
    }
    add(row, "label", { for: id }, control.label);
    if (!control.slider) {
      const menu = add(row, "select", { id });
      for (const words of control.words) add(menu, "option", {}, words);
      menu.selectedIndex = start;
      menu.addEventListener("change", changed);
      return () => menu.selectedIndex;
    }
    const most = control.words.length - 1;
    const slider = add(row, "input", { type: "range", id, min: 0, max: most, step: 1 });
    slider.value = start;
    const words = add(row, "span", { "aria-hidden": "true" }); // the slider itself says them
    const say = () => {
      words.textContent = control.words[slider.value];
      slider.setAttribute("aria-valuetext", control.words[slider.value]);
    };
    say();
    slider.addEventListener("input", () => { say(); changed(); });
    return () => Number(slider.value);
  }

  function steer(host) {
    const table = JSON.parse(host.querySelector('script[type="application/json"]').textContent);
    const figure = host.querySelector("figure");
    const live = document.createElement("div");
    live.className = "hl-steer-live";
    figure.prepend(live);
    const controls = add(live, "div", { class: "hl-steer-controls", role: "group" });
    controls.setAttribute("aria-label", "Controls of the figure");
    const legend = add(live, "ul", { class: "hl-steer-legend" });
    const svg = add(live, "svg", { role: "img" });
    const text = add(live, "p", { class: "hl-steer-text", "aria-live": "polite" });
    const start = table.start.split(",").map(Number);
    const chosen = table.controls.map((control, i) =>
      addControl(controls, control, `${figure.id}-control-${i}`, start[i], draw));

    function missing(indices) {
      const words = table.controls.map((c, i) => `${c.label}: ${c.words[indices[i]]}`);
      return `Not measured in these records (${words.join("; ")}).`;
    }

    function draw() {
      const indices = chosen.map((which) => which());
      const state = table.states[indices.join(",")];
      const said = state ? state.text : missing(indices);
      const width = Math.max(280, Math.min(live.clientWidth || 690, 690));
      const height = Math.round(Math.max(260, Math.min(340, 0.5 * width)));
      const box = { left: 50, right: width - 12, top: 26, bottom: height - 44 };
      box.x = scale(table.axes.x, box.left, box.right);
      box.y = scale(table.axes.y, box.bottom, box.top);
      svg.replaceChildren();
      const size = { width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": said };
      for (const [name, value] of Object.entries(size)) svg.setAttribute(name, value);
      drawAxes(svg, table.axes, table.steps, box);
      const series = state ? state.series : [];
      for (const one of series) drawSeries(svg, one, table.styles[one.style], box);
      drawSteps(svg, table.steps, box);
      drawLegend(legend, series, table.styles);
      if (!state) {
        const middle = { x: width / 2, y: height / 2, "text-anchor": "middle" };
        add(svg, "text", middle, "not measured");
      }
      if (text.textContent !== said) text.textContent = said;
    }

    host.classList.add("hl-steer-on");
    let drawn = 0; // the width for which the figure is drawn
    new ResizeObserver(() => {
      if (live.clientWidth === drawn) return;
      drawn = live.clientWidth;
      draw();
    }).observe(live);
    draw();
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const host of document.querySelectorAll("[data-hl-steer]")) steer(host);
  });
})();
