// The ledger's filters. Without this script the page has every claim, by chapter, in its folds.
function ledger(host) {
  const claims = [...host.querySelectorAll(".hl-claim")];
  const folds = [...host.querySelectorAll(".hl-rest")];
  const text = new Map(claims.map((one) => [one, one.textContent.toLowerCase()]));
  const facets = ["verdict", "chapter", "source"];
  const form = document.createElement("form");
  form.className = "hl-filters";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the claims");
  form.innerHTML = '<label>Text <input type="search" name="text" autocomplete="off"></label>';
  for (const facet of facets) {
    const select = document.createElement("select");
    select.name = facet;
    for (const value of ["", ...new Set(claims.map((one) => one.dataset[facet]))]) {
      const label = value.replace(/^0*(\d+)_/, "$1 ").replaceAll("_", " ");
      select.append(new Option(value ? label : "all", value));
    }
    const label = document.createElement("label");
    label.append(facet[0].toUpperCase() + facet.slice(1) + " ", select);
    form.append(label);
  }
  const count = document.createElement("p");
  count.setAttribute("role", "status");
  count.className = "hl-count";
  form.append(count);
  host.before(form);

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = facets.filter((name) => form.elements[name].value);
    for (const one of claims) {
      one.hidden = !(
        words.every((word) => text.get(one).includes(word)) &&
        chosen.every((name) => one.dataset[name] === form.elements[name].value)
      );
    }
    // What fits is shown wherever it stands; without a filter the folds are closed again.
    for (const fold of folds) fold.open = words.length + chosen.length > 0;
    for (const part of host.querySelectorAll(".hl-group, .hl-rest")) {
      part.hidden = !part.querySelector(".hl-claim:not([hidden])");
    }
    const shown = claims.filter((one) => !one.hidden).length;
    count.textContent = `${shown} of ${claims.length} claims`;
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A link to a claim shows it, whatever was filtered before.
  window.addEventListener("hashchange", () => {
    if (!aim()?.hidden) return;
    form.reset();
    filter();
    openFolds();
  });
  filter();
  openFolds();
}

// What is cited has an address where it is read.
function address(entry) {
  const claim = entry.closest(".hl-claim");
  const url = new URL(`ledger.html#${claim.id}`, location.href);
  if (location.protocol !== "file:") {
    entry.textContent = entry.textContent.replace(/\n}$/, `,\n  url = {${url}}\n}`);
  }
}

window.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".hl-ledger").forEach(ledger);
  document.querySelectorAll(".hl-cite pre").forEach(address);
});
