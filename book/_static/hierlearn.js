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
