"use strict";
(() => {
  const page = document.getElementById("charts");
  const charts = page ? JSON.parse(page.textContent) : {};
  const tip = document.getElementById("tip");
  const views = {};

  function describe(value) {
    tip.replaceChildren();
    for (const [name, text] of Object.entries(value)) {
      const row = tip.appendChild(document.createElement("div"));
      row.appendChild(document.createElement("span")).textContent = name;
      row.appendChild(document.createElement("b")).textContent = text;
    }
  }

  function showTip(handler, event, item, value) {
    tip.hidden = value === null || typeof value !== "object";
    if (tip.hidden) return;
    describe(value);
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  }

  async function draw(name, chart) {
    const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, tooltip: showTip };
    const drawn = await vegaEmbed(`#chart-${name}`, chart, options);
    views[name] = drawn.view;
  }

  function choose(figure) {
    for (const table of document.querySelectorAll(".curve-table")) table.hidden = table.dataset.figure !== figure;
    views.curves?.signal("figure", figure).runAsync();
  }

  function toggle(button) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    const hidden = [...document.querySelectorAll(".legend button[aria-pressed=false]")].map((other) => other.dataset.arm);
    views.curves?.signal("hidden", hidden).runAsync();
  }

  for (const [name, chart] of Object.entries(charts)) draw(name, chart);

  const figure = document.getElementById("figure");
  if (figure) {
    figure.addEventListener("change", () => choose(figure.value));
    choose(figure.value);
  }
  for (const button of document.querySelectorAll(".legend button")) button.addEventListener("click", () => toggle(button));

  const closed = [];
  window.addEventListener("beforeprint", () => {
    closed.push(...document.querySelectorAll("details:not([open], .traceback)"));
    for (const details of closed) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of closed.splice(0)) details.open = false;
  });
})();
