// The ledger's filters and sorting. Without this script the page is the plain table.
function ledger(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const facets = ["verdict", "chapter", "source"];
  const form = document.createElement("form");
  form.className = "hl-filters";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the claims");
  form.innerHTML = '<label>Text <input type="search" name="text" autocomplete="off"></label>';
  for (const facet of facets) {
    const select = document.createElement("select");
    select.name = facet;
    const values = [...new Set(rows.map((row) => row.dataset[facet]))];
    for (const value of ["", ...values]) {
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
  table.parentElement.before(form);

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        words.every((word) => text.get(row).includes(word)) &&
        facets.every((name) => [row.dataset[name], ""].includes(form.elements[name].value));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} claims`;
  }

  // A link to a claim shows its row, whatever was filtered before.
  function reveal() {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!row?.hidden) return;
    form.reset();
    filter();
    row.scrollIntoView();
  }

  const key = (row, column) =>
    row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();

  function compare(one, other) {
    if (one === "" || other === "") return (one === "") - (other === "");
    const numbers = [Number(one), Number(other)];
    if (numbers.every((number) => !Number.isNaN(number))) return numbers[0] - numbers[1];
    return one.localeCompare(other, "en", { numeric: true });
  }

  function sort(heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = heading.cellIndex;
    const empty = (row) => key(row, column) === "";
    rows.sort((a, b) => {
      const order = compare(key(a, column), key(b, column));
      return down && !empty(a) && !empty(b) ? -order : order;
    });
    body.append(...rows);
  }

  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading));
    heading.append(button);
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", reveal);
  filter();
}

window.addEventListener("DOMContentLoaded", () =>
  document.querySelectorAll("table.hl-ledger").forEach(ledger),
);
