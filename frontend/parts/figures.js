// What charts do in the browser beyond Plotly: pictures are light whatever the page is, a figure is saved as a file,
// a finger on a chart scrolls the page, and charts follow when the page's colours are switched.
(() => {
  if (window.spikefrontFigures) return;
  window.spikefrontFigures = true;
  const LIGHT = __LIGHT__;
  let loading = null;

  // A touch that Plotly does not see zooms nothing, so the browser scrolls; a tap still arrives as a click.
  document.addEventListener("touchstart", (event) => {
    if (event.target.closest?.(".js-plotly-plot .draglayer, .js-plotly-plot .main-svg")) event.stopPropagation();
  }, { capture: true, passive: true });

  // The camera copies data and layout at once: for that moment the layout is the light one.
  document.addEventListener("click", (event) => {
    const camera = event.target.closest?.(".modebar-btn[data-title^='Download plot']");
    const chart = camera?.closest(".js-plotly-plot");
    if (!chart?.layout) return;
    const { template, paper_bgcolor, plot_bgcolor } = chart.layout;
    Object.assign(chart.layout, { template: LIGHT, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff" });
    setTimeout(() => Object.assign(chart.layout, { template, paper_bgcolor, plot_bgcolor }), 0);
  }, { capture: true });

  // The server colours a chart for the page, and is not asked again when its reader turns to light or dark. Streamlit
  // runs the page anew at this key.
  let scheme = null;
  setInterval(() => {
    const page = document.querySelector(".stApp");
    if (!page || page.dataset.testScriptState === "initial") return;
    const found = getComputedStyle(page).colorScheme;
    const switched = scheme !== null && found !== scheme;
    scheme = found;
    if (!switched || !document.querySelector(".js-plotly-plot")) return;
    for (const type of ["keydown", "keyup"]) document.dispatchEvent(new KeyboardEvent(type, { key: "r" }));
  }, 500);

  function plotly() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "__BASE__/_figures/plotly.js";
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => { loading = null; reject(new Error("The drawing program could not be loaded.")); };
      document.head.append(script);
    });
    return loading;
  }

  async function drawn(library, figure, format) {
    const { data, layout } = figure;
    const raster = format === "png";
    const options = { format: raster ? "png" : "svg", width: layout.width, height: layout.height };
    const url = await library.toImage({ data, layout, config: {} }, raster ? { ...options, scale: 300 / 96 } : options);
    const content = url.slice(url.indexOf(",") + 1);
    return raster ? content : decodeURIComponent(content);
  }

  async function save(button) {
    const job = JSON.parse(button.dataset.sfSave);
    const library = await plotly();
    const figures = [];
    for (const one of job.figures) figures.push({ name: one.name, content: await drawn(library, one.figure, job.format) });
    const answer = await fetch("__BASE__/_figures/file", {
      method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: job.name, format: job.format, figures }),
    });
    if (!answer.ok) throw new Error(answer.status === 401 ? "The session has ended: reload the page." : await answer.text());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = figures.length > 1 ? `${job.name}.zip` : `${figures[0].name}.${job.format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-sf-save]");
    if (!button || button.disabled) return;
    const said = button.parentElement.querySelector("[role=status]");
    button.disabled = true;
    said.textContent = "Drawing …";
    try {
      await save(button);
      said.textContent = "Saved.";
    } catch (error) {
      said.textContent = error.message || "The figure could not be saved.";
    }
    button.disabled = false;
  });
})();
