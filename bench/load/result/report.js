// Shows the numbers below the pointer: the row of the figure's table that is nearest.
for (const figure of document.querySelectorAll("figure")) {
  const rows = [...figure.querySelectorAll("tr[data-x]")];
  const area = figure.querySelector(".area");
  const cursor = figure.querySelector(".cursor");
  const output = figure.querySelector("output");
  if (rows.length === 0) continue;
  const names = [...rows[0].closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const show = (event) => {
    const box = area.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    const distance = (row) => Math.abs(row.dataset.x - at);
    const row = rows.reduce((best, next) => (distance(next) < distance(best) ? next : best));
    cursor.setAttribute("d", `M${1000 * row.dataset.x} 0V500`);
    output.textContent = [...row.cells].map((cell, i) => `${names[i]} ${cell.textContent}`).join(" · ");
  };
  const hide = () => {
    cursor.setAttribute("d", "");
    output.textContent = "";
  };
  area.addEventListener("pointermove", show);
  area.addEventListener("pointerdown", show);
  area.addEventListener("pointerleave", hide);
}
