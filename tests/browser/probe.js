// What a test does with the page and sees of it, left as JSON in `#seen`.
const seen = {};
const first = document.querySelector(".panel");
const box = document.querySelector(".frame svg").getBoundingClientRect();
const readout = () => document.querySelector(".readout").textContent;
const press = (key) => document.querySelector("[role=slider]").dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true }));
seen.wide = document.documentElement.scrollWidth > innerWidth;
seen.width = innerWidth;
seen.plotWidth = box.width;
document.querySelector(".frame svg").dispatchEvent(
  new PointerEvent("pointermove", { clientX: box.right, bubbles: true }));
seen.hover = readout();
press("Home");
seen.home = readout();
press("ArrowRight");
seen.right = readout();
seen.spoken = document.querySelector("[role=slider]").getAttribute("aria-valuetext");
const line = first.querySelector(".curve");
const before = line.getAttribute("points");
const bottom = first.querySelector(".values span:last-child").textContent;
first.querySelector(".scale").click();
seen.pressed = first.querySelector(".scale").getAttribute("aria-pressed");
seen.redrawn = line.getAttribute("points") !== before;
seen.bottoms = [bottom, first.querySelector(".values span:last-child").textContent];
seen.still = readout();
const colour = () => getComputedStyle(document.body).backgroundColor;
seen.colours = [colour()];
for (let n = 0; n < 3; n++) {
  document.querySelector(".theme").click();
  seen.colours.push(colour());
}
const sizes = [...document.querySelectorAll("button")].map((b) => b.getBoundingClientRect().height);
seen.smallest = Math.min(...sizes);
const level = (text) => {
  const part = text.match(/[\d.]+/g).slice(0, 3).map((c) => c / 255);
  const [r, g, b] = part.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
const least = () => {
  let low = [99, ""];
  const texts = "p, a, li, h1, h2, h3, h4, td, th, span, button, dt, dd, code, pre, summary";
  for (const element of document.querySelectorAll(texts)) {
    if (!element.textContent.trim() || element.closest("svg, .swatch, .said, .skip")) continue;
    const levels = [level(getComputedStyle(element).color), level(behind(element))];
    const [a, b] = levels.sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < low[0]) low = [ratio, element.className || element.tagName];
  }
  return low;
};
seen.contrast = {};
for (const theme of ["light", "dark"]) {
  document.documentElement.dataset.theme = theme;
  seen.contrast[theme] = least();
}
document.getElementById("seen").textContent = JSON.stringify(seen);
