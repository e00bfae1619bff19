// A formula wider than the page scrolls inside itself; this lets the keyboard scroll it too.
function focusWideFormulas() {
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}

window.addEventListener("load", () => {
  window.MathJax?.startup?.promise.then(focusWideFormulas);
  window.addEventListener("resize", focusWideFormulas);
});

// Opened from a disk, a page may not fetch other pages: search shows titles without extracts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A link to a claim opens the fold that holds its card.
function openFold() {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = card?.closest("details:not([open])");
  if (!fold) return;
  fold.open = true;
  card.scrollIntoView();
}

window.addEventListener("DOMContentLoaded", openFold);
window.addEventListener("hashchange", openFold);
