(() => {
  const dialog = document.querySelector("#head-dialog");
  if (!dialog) return;
  const data = JSON.parse(document.querySelector("#passes").content.textContent);
  const rows = [...document.querySelectorAll("table.units tbody tr")];
  const headings = [...document.querySelectorAll("table.units thead th")];
  const byUnit = new Map(rows.map((row) => [row.dataset.unit, row]));
  const find = (name) => document.querySelector(`#head-${name}`);
  const [STEPS, MISSING] = [254, 255];

  const element = (name, attributes = {}, text = null) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    return made;
  };
  const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  // Texts without the words that all begin with.
  const distinct = (texts) => {
    const common = texts.reduce((start, text) => {
      let end = 0;
      while (end < start.length && start[end] === text[end]) end += 1;
      return start.slice(0, end);
    });
    const cut = texts.length > 1 ? common.lastIndexOf(" ") + 1 : 0;
    return texts.map((text) => (cut ? `… ${text.slice(cut)}` : text));
  };
  const decimals = (value, span) =>
    value.toFixed(Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(span || 1)))));

  const ticksOf = (low, high) => {
    const rough = (high - low || 1) / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
    const ticks = [];
    for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) ticks.push(at * step);
    return ticks;
  };

  const draw = (unit) => {
    const [low, high, coded] = data.rows[unit];
    const bytes = Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
    const byItem = document.querySelector("input[name=head-rows]:checked").value === "items";
    const names = byItem ? data.items : data.wordings;
    const svg = find("dots");
    const width = Math.round(svg.getBoundingClientRect().width) || 720;
    const edge = Math.min(190, Math.round(width * 0.4));
    const line = names.length > 60 ? 9 : 15;
    const height = names.length * line + 44;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", `${unit}: ${data.response} of ${bytes.length} passes, one row per ${byItem ? "item" : "wording"}, from ${low} to ${high}.`);
    const span = high - low || 1;
    const x = (value) => edge + 12 + ((value - low) / span) * (width - edge - 30);
    const drawn = [];
    for (const tick of ticksOf(low, high)) {
      drawn.push(element("path", { class: "grid", d: `M${x(tick)} 4V${height - 36}` }));
      drawn.push(element("text", { x: x(tick), y: height - 22, "text-anchor": "middle" }, decimals(tick, span / 4)));
    }
    drawn.push(element("text", { x: (edge + width) / 2, y: height - 5, "text-anchor": "middle" }, data.response));
    const sums = names.map(() => [[0, 0], [0, 0]]);
    const dots = [];
    bytes.forEach((byte, place) => {
      if (byte === MISSING) return;
      const item = Math.floor(place / data.wordings.length);
      const wording = place % data.wordings.length;
      const value = low + (byte / STEPS) * (high - low);
      const [row, role] = [byItem ? item : wording, data.test[wording] ? 0 : 1];
      sums[row][role][0] += value;
      sums[row][role][1] += 1;
      const dot = element("circle", {
        class: role ? "control" : "test", cx: x(value).toFixed(1),
        cy: ((row + 0.5) * line + (role ? 2 : -2)).toFixed(1), r: line > 10 ? 3 : 2.2,
      });
      dot.append(element("title", {}, `${data.items[item]}\n${data.wordings[wording]}\n${decimals(value, span)}`));
      dots.push(dot);
    });
    const labels = byItem ? names : distinct(names);
    names.forEach((name, row) => {
      const label = element("text", { x: edge, y: (row + 0.5) * line + 3.5, "text-anchor": "end" }, short(labels[row], Math.floor(edge / 5.6)));
      label.append(element("title", {}, name));
      drawn.push(label);
      sums[row].forEach(([sum, number], role) => {
        if (number)
          drawn.push(element("path", { class: role ? "mean control" : "mean test", d: `M${x(sum / number)} ${row * line + 1}v${line - 2}` }));
      });
    });
    svg.replaceChildren(...drawn, ...dots);
  };

  const tell = (row) => {
    const list = [];
    [...row.cells].slice(1).forEach((cell, index) => {
      const heading = headings[index + 1];
      const [group, term, number, meaning] = ["div", "dt", "dd", "dd"].map((name) => document.createElement(name));
      term.textContent = heading.textContent.trim();
      number.textContent = cell.textContent.trim();
      meaning.textContent = heading.title;
      meaning.className = "meaning";
      group.append(term, number, meaning);
      list.push(group);
    });
    find("numbers").replaceChildren(...list);
  };

  const levels = (unit) => {
    const address = unit.split(" at ")[0];
    const own = rows.filter((row) => row.dataset.unit.startsWith(`${address} at `));
    find("levels").hidden = own.length < 2;
    const [head] = find("levels").querySelectorAll("thead tr");
    head.replaceChildren(...headings.map((heading) => {
      const cell = document.createElement("th");
      cell.textContent = heading.textContent.trim();
      return cell;
    }));
    find("levels").querySelector("tbody").replaceChildren(...own.map((row) => {
      const copy = document.createElement("tr");
      copy.append(...[...row.cells].map((cell) => cell.cloneNode(true)));
      return copy;
    }));
  };

  const address = (unit) => `#head=${encodeURIComponent(unit)}`;
  let shown = null;
  const open = (unit) => {
    const row = byUnit.get(unit);
    shown = unit;
    find("name").textContent = unit;
    tell(row);
    levels(unit);
    const known = unit in data.rows;
    find("passes").hidden = !known;
    find("no-passes").hidden = known;
    const visible = [...row.parentElement.rows].filter((each) => !each.hidden);
    const place = visible.indexOf(row);
    for (const [name, other] of [["before", visible[place - 1]], ["after", visible[place + 1]]]) {
      const link = find(name);
      link.hidden = !other;
      if (other) link.href = address(other.dataset.unit);
    }
    if (!dialog.open) dialog.showModal();
    if (known) draw(unit);
    dialog.scrollTop = 0;
  };
  const follow = () => {
    const unit = location.hash.startsWith("#head=") ? decodeURIComponent(location.hash.slice(6)) : null;
    if (unit !== null && byUnit.has(unit)) open(unit);
    else if (dialog.open) dialog.close();
  };
  dialog.addEventListener("close", () => {
    shown = null;
    if (location.hash.startsWith("#head=")) history.replaceState(null, "", location.href.split("#")[0]);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  find("close").addEventListener("click", () => dialog.close());
  for (const choice of document.querySelectorAll("input[name=head-rows]"))
    choice.addEventListener("change", () => draw(shown));
  document.addEventListener("click", (event) => {
    const target = event.target.closest && event.target.closest("svg [data-unit], table.units tbody tr");
    if (target && !event.target.closest("a") && byUnit.has(target.dataset.unit) && !String(getSelection()))
      location.hash = address(target.dataset.unit);
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
