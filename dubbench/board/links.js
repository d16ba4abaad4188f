// A link such as #table=T&clip=C&metric=M shows that clip, sorts by that metric, and says so where the page lacks them.
function visit() {
  const note = document.querySelector(".asked"), lacking = [];
  note.hidden = true;
  all(".marked").forEach((cell) => cell.classList.remove("marked"));
  if (!location.hash.includes("=")) return;
  const asked = new URLSearchParams(location.hash.slice(1));
  const table = asked.get("table"), clip = asked.get("clip"), metric = asked.get("metric");
  const names = (group) => players.get(group)?.names || [];
  const heading = (group) => all("th[data-metric]", group).find((head) => head.dataset.metric === metric);
  const has = (group) => (!clip || names(group).includes(clip)) && (!metric || heading(group));
  const group = table ? groups.find((own) => own.id === table) : groups.find(has) || groups[0];
  let target = group;
  if (!group) lacking.push(`the table ${table}`);
  if (group && metric) {
    const head = heading(group);
    if (head) {
      if (!head.offsetWidth) every(group, true);
      const body = head.closest("table");
      head.setAttribute("aria-sort", "none");
      sort(body, head);
      [...body.rows].forEach((row) => row.cells[head.cellIndex]?.classList.add("marked"));
      const box = body.parentElement;
      box.scrollLeft = head.offsetLeft + head.offsetWidth / 2 - box.clientWidth / 2;
      target = box;
    } else lacking.push(`the metric ${metric} in this table`);
  }
  if (group && clip) {
    if (names(group).includes(clip)) {
      players.get(group).show(clip);
      target = group.querySelector(".player");
    } else lacking.push(`videos of the clip ${clip}, only of ${names(group).join(", ") || "none"}`);
  }
  if (lacking.length) {
    note.textContent = `The link asks for what this page does not have: ${lacking.join("; ")}.`;
    note.hidden = false;
    target = note;
  }
  target.scrollIntoView();
}
addEventListener("hashchange", visit);
visit();
