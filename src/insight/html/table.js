"use strict";
// Light or dark: the system's choice until the button is used.
document.querySelector(".theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
for (const box of document.querySelectorAll(".datatable")) {
  const body = box.querySelector("tbody");
  const rows = [...body.rows];
  const input = box.querySelector("input");
  const chips = [...box.querySelectorAll(".chip")];
  const count = box.querySelector(".count");
  let tag = chips.find((chip) => chip.getAttribute("aria-pressed") === "true")?.dataset.tag ?? "";
  const show = () => {
    const words = (input?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = (!tag || row.dataset.tag === tag) && words.every((word) => text.includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    if (count) count.textContent = shown === rows.length ? `${rows.length}` : `${shown} of ${rows.length}`;
  };
  input?.addEventListener("input", show);
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      tag = chip.dataset.tag;
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      show();
    });
  }
  const heads = [...box.querySelectorAll("th[data-sort]")];
  for (const head of heads) {
    const sort = () => {
      const at = head.cellIndex;
      const number = head.dataset.sort === "number";
      // Numbers are most telling from the largest down, names from A.
      const first = number ? "descending" : "ascending";
      const now = head.getAttribute("aria-sort");
      const order = now ? (now === "ascending" ? "descending" : "ascending") : first;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const key = (row) => row.cells[at].dataset.key ?? row.cells[at].textContent;
      const compare = number ? (a, b) => Number(key(a)) - Number(key(b)) : (a, b) => key(a).localeCompare(key(b));
      rows.sort((a, b) => (order === "ascending" ? compare(a, b) : compare(b, a)));
      body.append(...rows);
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
  }
  show();
}
