// What a link to a claim, a theorem, an equation, a figure or a reference leads to, shown beside it:
// on this page, or fetched from another page of this site. From a disk, where pages may not be
// fetched, only the former.
(() => {
  const WANTED = ".hl-claim, .hl-card, .proof, .exercise, .math-wrapper, .citation, figure";
  const pages = new Map();
  let box, asked;

  async function pageOf(url) {
    const address = url.href.replace(/#.*/, "");
    if (address === location.href.replace(/#.*/, "")) return document;
    if (location.protocol === "file:" || url.origin !== location.origin) return null;
    if (!pages.has(address)) {
      const text = fetch(address).then((answer) => (answer.ok ? answer.text() : ""));
      pages.set(address, text.then((t) => new DOMParser().parseFromString(t, "text/html")));
    }
    return pages.get(address);
  }

  function close() {
    asked = null;
    box?.remove();
    box = null;
  }

  async function open(link) {
    asked = link;
    await new Promise((done) => setTimeout(done, 250));
    const url = new URL(link.href);
    const page = asked === link && (await pageOf(url));
    const found = page && page.getElementById(decodeURIComponent(url.hash.slice(1)));
    const target = found?.matches(WANTED) ? found : found?.querySelector(":scope > figure");
    if (asked !== link || !target || target.contains(link)) return;
    box?.remove();
    box = document.createElement("div");
    box.className = "hl-preview";
    box.setAttribute("role", "tooltip");
    const copy = target.cloneNode(true);
    for (const one of [copy, ...copy.querySelectorAll("[id]")]) one.removeAttribute("id");
    copy.removeAttribute("role"); // of an entry of the bibliography, which here has no list
    for (const one of copy.querySelectorAll("a[href]")) {
      one.setAttribute("href", new URL(one.getAttribute("href"), url).href); // not of this folder
    }
    if (copy.matches("details")) copy.open = true;
    box.append(copy);
    document.body.append(box);
    const near = link.getBoundingClientRect();
    const left = Math.min(near.left, document.documentElement.clientWidth - box.offsetWidth - 8);
    const below = near.bottom + box.offsetHeight + 12 < innerHeight || near.top < box.offsetHeight;
    box.style.left = `${Math.max(4, left) + scrollX}px`;
    box.style.top = `${scrollY + (below ? near.bottom + 6 : near.top - box.offsetHeight - 6)}px`;
    box.addEventListener("mouseleave", close);
    if (page !== document) window.MathJax?.typesetPromise?.([box]);
  }

  function inside(event) {
    const link = event.target.closest?.(".bd-article a[href*='#']");
    return link && new URL(link.href).hash.length > 1 ? link : null;
  }

  const start = (event) => {
    const link = inside(event);
    if (link && link !== asked) open(link);
  };
  const leave = (event) => {
    const link = inside(event);
    setTimeout(() => { if (link && link === asked && !box?.matches(":hover")) close(); }, 200);
  };
  document.addEventListener("mouseover", start);
  document.addEventListener("focusin", start);
  document.addEventListener("mouseout", leave);
  document.addEventListener("focusout", leave);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
})();
