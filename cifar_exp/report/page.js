"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/* The figure in the page's colours, and on a phone without what needs width or catches the scrolling finger. */
function dressed(figure) {
  const { data, layout } = structuredClone(figure);
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0, 0, 0, 0)";
  layout.font = { color: colour("ink"), family: getComputedStyle(document.body).fontFamily, size: narrow.matches ? 12 : 13 };
  layout.hoverlabel = { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("ink") } };
  for (const axis of [layout.xaxis, layout.yaxis]) {
    axis.gridcolor = axis.linecolor = colour("line");
    axis.fixedrange = narrow.matches;
  }
  for (const trace of data) {
    if (trace.type === "heatmap") {
      trace.colorscale = [[0, colour("raised")], [1, colour("accent")]];
      trace.showscale = !narrow.matches;
    }
  }
  if (narrow.matches) {
    layout.dragmode = false;
    layout.margin = { ...layout.margin, l: 40, r: 6 };
  }
  return { data, layout };
}

function draw(box) {
  const variants = figures[box.dataset.chart];
  const choice = document.querySelector(`select[data-for="${box.dataset.chart}"]`);
  const { data, layout } = dressed(choice ? variants[choice.value] : Object.values(variants)[0]);
  box.style.height = `${layout.height}px`;
  Plotly.react(box, data, layout, { responsive: true, displayModeBar: false });
}

function drawAll() {
  document.querySelectorAll(".chart").forEach(draw);
}

/* A click on a head of the comparison sorts by that column, a second one the other way round. */
function sortBy(head) {
  const table = head.closest("table");
  const column = [...head.parentNode.children].indexOf(head);
  const falling = head.getAttribute("aria-sort") !== "descending";
  const value = (row) => row.children[column].textContent;
  const number = (text) => parseFloat(text.replace(/[,%]/g, ""));
  const order = (a, b) => {
    const difference = number(value(a)) - number(value(b));
    return Number.isNaN(difference) ? value(a).localeCompare(value(b)) : difference;
  };
  const rows = [...table.tBodies[0].rows].sort((a, b) => (falling ? order(b, a) : order(a, b)));
  table.tBodies[0].append(...rows);
  head.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
}

document.querySelectorAll("select[data-for]").forEach((choice) => {
  choice.addEventListener("change", () => draw(document.getElementById(choice.dataset.for)));
});
document.querySelectorAll("#comparison thead th").forEach((head) => {
  head.tabIndex = 0;
  head.addEventListener("click", () => sortBy(head));
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(head); });
});
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
drawAll();
