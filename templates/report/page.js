"use strict";
document.documentElement.classList.add("script");

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, ROWS = 100, TICKS = 5;
const spoken = document.querySelector(".said");
const short = (value) => String(Number(value.toPrecision(4)));
const whole = (value) => Math.round(value).toLocaleString("en-US");

// Colours: as the system, then dark, then light; nothing is stored.
const theme = document.querySelector(".theme");
const themes = ["system", "dark", "light"];
theme.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || "system";
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  theme.textContent = `Colours: ${next}`;
  theme.setAttribute("aria-label", `Colours: ${next === "system" ? "as the system" : next}`);
});

// Patches are copied as text.
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copies);
    let copied = true;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    spoken.textContent = copied ? "The patch was copied" : "The patch is selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// A panel reads its values from its own lines: they stand on the page once.
class Panel {
  constructor(element, plot) {
    this.element = element;
    this.plot = plot;
    this.low = Number(element.dataset.low);
    this.high = Number(element.dataset.high);
    this.logarithmic = false;
    this.group = element.querySelector(".curves");
    this.cursor = element.querySelector(".cursor");
    this.svg = element.querySelector(".frame svg");
    this.lines = [...element.querySelectorAll(".curve")].map((line) => ({
      line,
      label: line.dataset.label,
      points: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)),
      dots: line.classList.contains("dots"),
    }));
    for (const each of this.lines) {
      if (!each.dots && each.points.length > 1) continue;
      each.marks = document.createElementNS(SVG, "path");
      each.marks.setAttribute("class", each.line.getAttribute("class").replace("curve", "point"));
      this.group.append(each.marks);
    }
    const switcher = element.querySelector(".scale");
    if (switcher) {
      switcher.addEventListener("click", () => {
        this.draw(!this.logarithmic);
        switcher.setAttribute("aria-pressed", String(this.logarithmic));
      });
    }
    this.draw("logarithmic" in element.dataset);
    if (switcher) switcher.setAttribute("aria-pressed", String(this.logarithmic));
  }

  draw(logarithmic) {
    this.logarithmic = logarithmic;
    const of = logarithmic ? Math.log10 : (value) => value;
    let [low, high] = [this.low, this.high];
    if (logarithmic) {
      const values = this.lines.flatMap((each) => each.points.map((point) => point[1]));
      low = values.reduce((a, b) => Math.min(a, b)) / 1.05;
      high = values.reduce((a, b) => Math.max(a, b)) * 1.05;
    }
    const { first, last } = this.plot;
    const across = WIDTH / (last - first), up = ROWS / (of(high) - of(low));
    const place = [across, 0, 0, -up, -first * across, of(high) * up];
    this.group.setAttribute("transform", `matrix(${place.join(" ")})`);
    for (const each of this.lines) {
      const drawn = each.points.map(([x, y]) => `${x},${of(y)}`);
      each.line.setAttribute("points", drawn.join(" "));
      if (each.marks) each.marks.setAttribute("d", drawn.map((pair) => `M${pair}h0`).join(""));
    }
    const ticks = this.element.querySelectorAll(".values span");
    ticks.forEach((tick, place) => {
      const value = of(high) - (of(high) - of(low)) * place / (TICKS - 1);
      tick.textContent = short(logarithmic ? 10 ** value : value);
    });
  }

  // The nearest point of each curve to a step, as words.
  near(step) {
    const found = new Map();
    for (const { label, points } of this.lines) {
      let [start, end] = [0, points.length - 1];
      while (end - start > 1) {
        const middle = (start + end) >> 1;
        if (points[middle][0] < step) start = middle; else end = middle;
      }
      const point = step - points[start][0] <= points[end][0] - step ? points[start] : points[end];
      const known = found.get(label);
      if (!known || Math.abs(point[0] - step) < Math.abs(known[0] - step)) found.set(label, point);
    }
    return found;
  }
}

class Plot {
  constructor(figure) {
    this.first = Number(figure.dataset.first);
    this.last = Number(figure.dataset.last);
    this.axis = figure.dataset.axis;
    this.readout = figure.querySelector(".readout");
    this.panels = [...figure.querySelectorAll(".panel")].map((each) => new Panel(each, this));
    const steps = this.panels[0].lines.flatMap((each) => each.points.map((point) => point[0]));
    this.steps = [...new Set(steps)].sort((a, b) => a - b);
    for (const panel of this.panels) this.listen(panel.svg);
    this.keys(this.panels[0].svg);
  }

  listen(svg) {
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const step = this.first + share * (this.last - this.first);
      this.show(this.steps.reduce((a, b) => (Math.abs(b - step) < Math.abs(a - step) ? b : a)));
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
  }

  // The first panel is a slider over the steps: arrows, page keys, home and end.
  keys(svg) {
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "slider");
    svg.setAttribute("aria-valuemin", this.first);
    svg.setAttribute("aria-valuemax", this.last);
    svg.setAttribute("aria-valuenow", this.first);
    this.slider = svg;
    svg.addEventListener("keydown", (event) => {
      const end = this.steps.length - 1, far = Math.max(1, Math.round(end / 10));
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -far, PageUp: far, Home: -Infinity, End: Infinity }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const now = this.at === undefined ? (by > 0 ? -1 : end + 1) : this.steps.indexOf(this.at);
      this.show(this.steps[Math.min(end, Math.max(0, now + by))]);
    });
  }

  show(step) {
    this.at = step;
    const words = [`${this.axis} ${whole(step)}`];
    for (const panel of this.panels) {
      const across = (step - this.first) / (this.last - this.first) * WIDTH;
      panel.cursor.setAttribute("d", `M${across} 0v${ROWS}`);
      for (const [label, [at, value]] of panel.near(step)) {
        words.push(`${label} ${short(value)}${at === step ? "" : ` (at ${whole(at)})`}`);
      }
    }
    this.readout.textContent = words.join(" · ");
    this.slider.setAttribute("aria-valuenow", step);
    this.slider.setAttribute("aria-valuetext", words.join(", "));
  }
}

for (const figure of document.querySelectorAll(".plot")) new Plot(figure);
