"use strict";
(() => {
  const at = (name) => document.getElementById(`attention-${name}`);
  const arms = JSON.parse(at("data").textContent);
  const [armChoice, sentenceChoice, viewChoice] = [at("arm"), at("sentence"), at("view")];
  let map;

  const make = (parent, tag, text = "") => {
    const made = parent.appendChild(document.createElement(tag));
    made.textContent = text;
    return made;
  };
  const percent = (weight) => `${Math.round(100 * weight)} %`;
  const sentence = (words) => words.filter((word) => word !== "_eos_").join(" ");

  function spoken(index) {
    const ranked = map.weights[index].map((weight, place) => [weight, map.source[place]]).sort((a, b) => b[0] - a[0]);
    const named = ranked.slice(0, 4).filter(([weight]) => weight >= 0.05);
    const from = named.map(([weight, word]) => `${word} ${percent(weight)}`).join(", ") || "all words evenly";
    return `“${map.target[index]}” attends to ${from}`;
  }

  function choose(index) {
    map.weights[index].forEach((weight, place) => {
      const word = at("source").children[place];
      word.style.setProperty("--w", Math.sqrt(weight)); // the root keeps small weights visible; the number is exact
      word.querySelector("small").textContent = weight >= 0.05 ? percent(weight) : "";
    });
    [...at("target").children].forEach((word, place) => {
      word.setAttribute("aria-current", place === index);
      word.tabIndex = place === index ? 0 : -1;
    });
    [...at("grid").tBodies[0].rows].forEach((row, place) => row.classList.toggle("chosen", place === index));
    at("spoken").textContent = spoken(index);
  }

  function writeWords() {
    at("source").replaceChildren();
    at("target").replaceChildren();
    for (const text of map.source) {
      const word = make(at("source"), "span", text);
      word.className = "word";
      make(word, "small");
    }
    map.target.forEach((text, index) => {
      const word = make(at("target"), "button", text);
      word.type = "button";
      word.className = "word";
      for (const moment of ["focus", "mouseenter", "click"]) word.addEventListener(moment, () => choose(index));
    });
    at("reference").textContent = map.reference;
  }

  function writeGrid() {
    const grid = at("grid");
    grid.replaceChildren();
    const head = make(make(grid, "thead"), "tr");
    make(head, "td");
    for (const text of map.source) make(head, "th", text).scope = "col";
    const body = make(grid, "tbody");
    map.target.forEach((text, index) => {
      const row = make(body, "tr");
      make(row, "th", text).scope = "row";
      for (const weight of map.weights[index]) {
        const cell = make(row, "td");
        cell.style.setProperty("--w", weight);
        make(cell, "span", percent(weight));
      }
      row.addEventListener("mouseenter", () => choose(index));
    });
  }

  function offerViews() {
    const { views } = arms[armChoice.value].maps[sentenceChoice.value];
    const before = viewChoice.selectedOptions[0]?.textContent;
    viewChoice.replaceChildren();
    ["mean of the last layer's heads", ...views.map(({ name }) => name)].forEach((name, index) => {
      const option = make(viewChoice, "option", name);
      option.value = index;
      option.selected = name === before;
    });
    at("views").hidden = views.length === 0;
    show();
  }

  function show() {
    const whole = arms[armChoice.value].maps[sentenceChoice.value];
    map = { ...whole, ...(whole.views[viewChoice.value - 1] ?? {}) };
    writeWords();
    writeGrid();
    choose(0);
    const { arm } = arms[armChoice.value];
    for (const told of document.querySelectorAll(".attention-told")) {
      told.hidden = told.dataset.arm !== arm || told.dataset.sentence !== sentenceChoice.value;
    }
  }

  function offerSentences() {
    const before = sentenceChoice.selectedOptions[0]?.textContent;
    sentenceChoice.replaceChildren();
    arms[armChoice.value].maps.forEach((one, index) => {
      const option = make(sentenceChoice, "option", sentence(one.source));
      option.value = index;
      option.selected = option.textContent === before;
    });
    offerViews();
  }

  const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  at("target").addEventListener("keydown", (event) => {
    const words = [...at("target").children];
    const place = words.indexOf(document.activeElement);
    const next = { Home: 0, End: words.length - 1 }[event.key] ?? place + (moves[event.key] ?? 0);
    if (next === place || !words[next]) return;
    event.preventDefault();
    words[next].focus();
  });

  arms.forEach(({ arm }, index) => (make(armChoice, "option", arm).value = index));
  armChoice.addEventListener("change", offerSentences);
  sentenceChoice.addEventListener("change", offerViews);
  viewChoice.addEventListener("change", show);
  offerSentences();
  document.querySelector(".attention-live").hidden = false;
})();
