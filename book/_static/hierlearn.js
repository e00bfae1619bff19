// What is wider than the page scrolls inside itself; this lets the keyboard scroll it too. The theme
// does so for some of it, once, when a page is loaded.
const SCROLLING =
  'mjx-container[display="true"], .hl-scroll, .highlight pre, .pst-scrollable-table-container';

function focusWhatScrolls() {
  for (const box of document.querySelectorAll(SCROLLING)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

window.addEventListener("load", () => {
  focusWhatScrolls();
  window.MathJax?.startup?.promise.then(focusWhatScrolls);
  window.addEventListener("resize", focusWhatScrolls);
});

// Opened from a disk, a page may not fetch other pages: search shows titles without extracts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The arrow that folds a part of the contents has no name of its own.
window.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("summary:has(.toctree-toggle)")) {
    const link = arrow.closest("li")?.querySelector("a");
    arrow.setAttribute("aria-label", `Pages under ${link?.textContent.trim() ?? "this"}`);
  }
});

// A link to a claim or a figure opens the folds around it, and itself where it is one.
function aim() {
  return document.getElementById(decodeURIComponent(location.hash.slice(1)));
}

function openFolds() {
  const closed = "details:not([open])";
  if (!aim()?.closest(closed)) return;
  for (let fold; (fold = aim().closest(closed)); ) fold.open = true;
  aim().scrollIntoView();
}

window.addEventListener("DOMContentLoaded", openFolds);
window.addEventListener("hashchange", openFolds);
