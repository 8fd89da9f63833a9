// What a page must keep once a browser has laid it out. The result is a list of what is wrong; empty is right.
const wrong = [];
const root = document.documentElement;
const shown = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
const name = (e) => `<${e.tagName.toLowerCase()}${e.id ? " id=" + e.id : ""}> ${(e.textContent || "").trim().slice(0, 40)}`;

// The page is as wide as its window; what is wider scrolls in a region of its own.
if (root.scrollWidth > root.clientWidth) {
  wrong.push(`the page is ${root.scrollWidth} pixels wide, its window ${root.clientWidth}`);
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.closest(".scroll") && e.getBoundingClientRect().right > root.clientWidth + 1) wrong.push(`sticks out: ${name(e)}`);
  }
}

// Pictures are there and have words.
for (const image of document.images) {
  if (!image.complete || image.naturalWidth === 0) wrong.push(`not loaded: ${image.alt}`);
  if (!image.alt) wrong.push("a picture without words");
  if (shown(image) && image.getBoundingClientRect().width < 60) wrong.push(`too small to be seen: ${image.alt}`);
}
for (const picture of document.querySelectorAll("svg[role=img]")) {
  const ids = (picture.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
  if (!ids.length || ids.some((id) => !document.getElementById(id)?.textContent)) wrong.push(`an SVG without a name: ${picture.id}`);
}

// Contrast as WCAG 2.2 measures it.
const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const contrast = (a, b) => {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = numbers(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !shown(e) || e.closest("title, desc, style")) continue;
  const style = getComputedStyle(e);
  const isDrawn = e instanceof SVGElement;
  // Numbers on a coloured block of a drawing are checked where drawings are made.
  if (isDrawn && !e.getAttribute("class")?.startsWith("f-")) continue;
  const ratio = contrast(numbers(isDrawn ? style.fill : style.color), behind(e));
  if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${name(e)}`);
  const size = isDrawn ? e.getBoundingClientRect().height : parseFloat(style.fontSize);
  if (size < 8) wrong.push(`text ${size.toFixed(1)} pixels high: ${name(e)}`);
  // A chart is made smaller or larger as a whole, its text with it.
  const chart = isDrawn && e.closest(".charts svg, .narrow svg");
  const set = chart && parseFloat(style.fontSize) * chart.getBoundingClientRect().width / chart.viewBox.baseVal.width;
  if (chart && set < 12) wrong.push(`text of ${set.toFixed(1)} pixels in a chart: ${name(e)}`);
}

// Whoever uses keys sees where they are, whoever listens hears what it is.
for (const e of document.querySelectorAll("a[href], summary, [tabindex='0'], button, input")) {
  if (!shown(e)) continue;
  const label = e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.textContent;
  if (!label.trim()) wrong.push(`focus without a name: ${name(e)}`);
  e.focus();
  const style = getComputedStyle(e);
  if (document.activeElement !== e) wrong.push(`cannot be focused: ${name(e)}`);
  else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push(`focus cannot be seen: ${name(e)}`);
}
document.activeElement.blur();
for (const region of document.querySelectorAll(".scroll")) {
  if (region.scrollWidth > region.clientWidth && region.tabIndex !== 0) wrong.push(`scrolls, but not by keys: ${name(region)}`);
}

// Nothing was asked for.
for (const entry of performance.getEntriesByType("resource")) {
  if (!entry.name.startsWith("data:")) wrong.push(`asked for ${entry.name}`);
}
return wrong;
