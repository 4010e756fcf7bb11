"use strict";
const collator = new Intl.Collator("en", { numeric: true });
const NEXT = {
  ascending: { ascending: "descending", descending: "ascending" },
  descending: { descending: "ascending", ascending: "descending" },
  size: { size: "descending", descending: "ascending", ascending: "size" },
};
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  const reset = table.matches(".units") ? document.querySelector("#unit-reset") : null;
  const keys = new Map();
  const keysOf = (column) => {
    if (!keys.has(column))
      keys.set(column, new Map(rows.map((row) => {
        const cell = row.cells[column];
        const value = cell.dataset.value;
        return [row, value === undefined ? null : value === "" ? cell.textContent : Number(value)];
      })));
    return keys.get(column);
  };
  let [sortedBy, order] = [null, null];
  const arrange = (sorted) => {
    for (const each of headings) each.removeAttribute("aria-sort");
    if (sortedBy) sortedBy.setAttribute("aria-sort", order === "size" ? "other" : order);
    if (reset) reset.hidden = !sortedBy;
    body.append(...sorted);
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const first = heading.dataset.first;
      order = sortedBy === heading ? NEXT[first][order] : first;
      sortedBy = heading;
      const of = keysOf(column);
      const sign = order === "ascending" ? 1 : -1;
      const by = order === "size" ? Math.abs : (value) => value;
      arrange([...rows].sort((one, two) => {
        const [a, b] = [of.get(one), of.get(two)];
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "string" ? collator.compare(a, b) : by(a) - by(b));
      }));
    });
  });
  if (reset)
    reset.addEventListener("click", () => {
      sortedBy = null;
      arrange(rows);
    });
}
(() => {
  const seconds = Number(document.body.dataset.reload);
  const headings = [...document.querySelectorAll("table.points th[data-first]")];
  const [kept, order] = (history.state || "").split(" ");
  for (let clicks = 0; order && headings[kept] && clicks < 3; clicks += 1)
    if (headings[kept].getAttribute("aria-sort") !== order) headings[kept].querySelector("button").click();
  if (!seconds) return;
  const again = () => {
    if (document.hidden) return document.addEventListener("visibilitychange", again, { once: true });
    const sorted = headings.findIndex((heading) => heading.hasAttribute("aria-sort"));
    const by = sorted < 0 ? "" : headings[sorted].getAttribute("aria-sort");
    history.replaceState(by && `${sorted} ${by}`, "");
    location.reload();
  };
  setTimeout(again, 1000 * seconds);
})();
(() => {
  const table = document.querySelector("table.units");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const headings = [...table.tHead.rows[0].cells];
  const byUnit = new Map(rows.map((row) => [row.dataset.unit, row]));
  const cells = new Map();
  for (const cell of document.querySelectorAll("svg [data-unit]")) {
    const unit = cell.dataset.unit;
    cells.set(unit, [...(cells.get(unit) || []), cell]);
  }

  const hint = document.createElement("div");
  hint.id = "hint";
  hint.setAttribute("role", "status");
  hint.hidden = true;
  document.body.append(hint);
  let lit = [];

  const clear = () => {
    for (const element of lit) element.classList.remove("lit");
    lit = [];
    hint.hidden = true;
  };
  const light = (unit) => {
    clear();
    lit = [byUnit.get(unit), ...(cells.get(unit) || [])].filter(Boolean);
    for (const element of lit) element.classList.add("lit");
  };
  const show = (cell) => {
    const row = byUnit.get(cell.dataset.unit);
    if (!row) return;
    light(cell.dataset.unit);
    const name = document.createElement("b");
    name.textContent = cell.dataset.unit;
    const list = document.createElement("dl");
    [...row.cells].slice(1).forEach((value, index) => {
      const term = document.createElement("dt");
      const number = document.createElement("dd");
      term.textContent = headings[index + 1].textContent.trim();
      number.textContent = value.textContent.trim();
      list.append(term, number);
    });
    hint.replaceChildren(name, list);
    hint.hidden = false;
    const at = cell.getBoundingClientRect();
    const left = Math.min(at.right + 10, document.documentElement.clientWidth - hint.offsetWidth - 8);
    const below = at.bottom + 8 + hint.offsetHeight <= window.innerHeight;
    hint.style.left = `${Math.max(8, left) + window.scrollX}px`;
    hint.style.top = `${(below ? at.bottom + 8 : Math.max(4, at.top - hint.offsetHeight - 8)) + window.scrollY}px`;
  };
  const cellOf = (event) => (event.target.closest ? event.target.closest("svg [data-unit]") : null);
  document.addEventListener("pointerover", (event) => {
    const cell = cellOf(event);
    if (cell) show(cell);
    else if (event.target.closest && event.target.closest("table.units tbody tr"))
      light(event.target.closest("tr").dataset.unit);
    else clear();
  });
  document.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell) show(cell);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
  });

  const words = document.querySelector("#unit-words");
  const which = document.querySelector("#unit-which");
  const number = document.querySelector("#unit-count");
  const filter = () => {
    const wanted = words.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const flagged = which.value === "" || row.dataset.flags.split(" ").includes(which.value);
      row.hidden = !(flagged && row.dataset.unit.toLowerCase().includes(wanted));
      shown += row.hidden ? 0 : 1;
    }
    number.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  words.addEventListener("input", filter);
  which.addEventListener("change", filter);
  filter();
})();
