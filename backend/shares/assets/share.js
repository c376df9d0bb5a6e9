// Draws a share's figures, those near the screen first, follows the colour scheme, and turns tables into CSV files.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const drawn = new Set();
  let loading = null;

  // Plotly is far larger than the page: fetched once, after the page stands.
  function plotly() {
    if (window.Plotly) return Promise.resolve(window.Plotly); // the offline page holds it
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = data.plotly;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly"));
      document.head.append(script);
    });
    return loading;
  }

  function layoutOf(name) {
    const layout = { ...data.figures[name].layout, template: data.templates[dark.matches ? "dark" : "light"] };
    if (coarse.matches) layout.dragmode = false; // a finger scrolls the page, it does not zoom the figure
    return layout;
  }

  async function draw(box) {
    const name = box.dataset.chart;
    if (drawn.has(box)) return;
    drawn.add(box);
    try {
      const library = await plotly();
      await library.newPlot(box, data.figures[name].data, layoutOf(name), data.config);
    } catch {
      const note = document.createElement("p");
      note.className = "failed";
      note.textContent = "The figure could not be drawn. Its numbers stand in the table.";
      box.replaceChildren(note);
      box.style.removeProperty("--lift");
    }
  }

  const boxes = [...document.querySelectorAll(".plot[data-chart]")];
  for (const box of boxes) {
    const { layout, lift_px: lift } = data.figures[box.dataset.chart];
    box.style.minHeight = `${layout.height}px`; // no jump later
    box.style.setProperty("--lift", `${lift}px`); // the figure's own heading is for its pictures and lies under the page's
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px 0px" });
  for (const box of boxes) near.observe(box);
  // The rest in idle moments, one after another: print and a picture of the whole page show figures that nobody scrolled to.
  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
  async function drawRest() {
    const next = boxes.find((box) => !drawn.has(box));
    if (!next) return;
    near.unobserve(next);
    await draw(next);
    idle(drawRest);
  }
  addEventListener("load", () => idle(drawRest));
  addEventListener("beforeprint", () => boxes.forEach(draw));
  dark.addEventListener("change", async () => {
    const library = await plotly();
    for (const box of drawn) {
      const name = box.dataset.chart;
      library.react(box, data.figures[name].data, layoutOf(name), data.config);
    }
  });

  function csvCell(cell) {
    let text = cell.dataset.v ?? cell.textContent.replace("★", "").trim();
    // A spreadsheet runs a cell that starts like a formula; a leading apostrophe makes it text.
    if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  for (const table of document.querySelectorAll("table[data-csv]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Download as CSV";
    button.addEventListener("click", () => {
      const rows = [...table.rows].map((row) => [...row.cells].map(csvCell).join(","));
      save(new Blob([rows.join("\r\n") + "\r\n"], { type: "text/csv;charset=utf-8" }), `${table.dataset.csv}.csv`);
    });
    table.parentElement.before(button);
  }

  // The offline page: its content as the file that the manifest lists.
  for (const button of document.querySelectorAll("button[data-save]")) {
    button.addEventListener("click", async () => {
      const bytes = Uint8Array.from(atob(document.getElementById("results").textContent.trim()), (sign) => sign.charCodeAt(0));
      save(new Blob([bytes], { type: "application/json" }), button.dataset.save);
      if (!crypto.subtle) return; // no digest outside a secure context
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      button.nextElementSibling.textContent =
        found === button.dataset.sha256 ? "✓ Its SHA-256 is the one above." : "✗ Its SHA-256 differs: this file was changed.";
    });
  }

  for (const button of document.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
